//go:build !(darwin || dragonfly || freebsd || linux || netbsd || openbsd || windows)

package lock

import (
	"errors"
	"os"
)

func try(*os.File) error { return errors.ErrUnsupported }

func dup(*os.File) (*os.File, error) { return nil, errors.ErrUnsupported }
