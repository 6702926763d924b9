//go:build !linux

package writeback

import (
	"errors"
	"os"
)

func begin(*os.File, int64, int64) error { return errors.ErrUnsupported }
