//go:build unix

package quota

import (
	"errors"
	"syscall"
)

// IsExceeded reports whether err says that the quota of the file system was reached.
func IsExceeded(err error) bool { return errors.Is(err, syscall.EDQUOT) }
