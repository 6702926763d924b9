//go:build !unix

package weirhttp

// isOverQuota reports whether the system's own quota was reached.
func isOverQuota(error) bool { return false }
