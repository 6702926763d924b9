package s3

import (
	"syscall"

	"github.com/weir-go/weir/internal/errno"
)

// isRefused reports whether nothing listens at the address of the store.
func isRefused(err error) bool { return errno.Is(err, syscall.ECONNREFUSED) }
