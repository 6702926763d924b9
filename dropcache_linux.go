//go:build linux && (amd64 || arm64)

package weir

import (
	"os"
	"syscall"
)

// dropCache asks the kernel to forget the pages of f, as posix_fadvise(2) with
// POSIX_FADV_DONTNEED does. It is a request, and f is clean.
func dropCache(f *os.File) {
	const dontNeed = 4
	conn, err := f.SyscallConn()
	if err != nil {
		return
	}
	_ = conn.Control(func(fd uintptr) {
		syscall.Syscall6(syscall.SYS_FADVISE64, fd, 0, 0, dontNeed, 0, 0)
	})
}
