//go:build !linux && !darwin

package quota

import (
	"errors"
	"os"
)

// FreeSpace is not supported on this platform: writes fail when the disk is full.
func FreeSpace(*os.File) (int64, error) { return 0, errors.ErrUnsupported }
