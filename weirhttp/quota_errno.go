//go:build unix

package weirhttp

import (
	"errors"
	"syscall"
)

// isOverQuota reports whether the system's own quota was reached.
func isOverQuota(err error) bool { return errors.Is(err, syscall.EDQUOT) }
