//go:build !linux && !darwin

package weirhttp

import (
	"errors"
	"os"
)

// freeSpace is not known here: a full disk shows when it is written to.
func freeSpace(*os.File) (int64, error) { return 0, errors.ErrUnsupported }
