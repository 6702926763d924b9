//go:build !linux

package weirhttp

import (
	"errors"
	"os"
)

func beginFlush(*os.File, int64, int64) error { return errors.ErrUnsupported }
