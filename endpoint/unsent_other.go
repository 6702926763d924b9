//go:build !linux

package endpoint

import "syscall"

// boundUnsent does nothing here: to a slow server, a limit on stalls must allow
// for the time in which the kernel's buffer drains.
func boundUnsent(string, string, syscall.RawConn) error { return nil }
