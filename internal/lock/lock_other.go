//go:build !(darwin || dragonfly || freebsd || linux || netbsd || openbsd || windows)

package lock

import (
	"errors"
	"os"
)

const noFollow = 0

func try(*os.File) error { return errors.ErrUnsupported }

func unlock(*os.File) {}

func dup(*os.File) (*os.File, error) { return nil, errors.ErrUnsupported }
