//go:build !windows

package errno

import "syscall"

// others is empty: these systems return the errors of POSIX.
var others map[syscall.Errno][]syscall.Errno
