package spool

import (
	"os"
	"syscall"

	"github.com/weir-go/weir/internal/fd"
)

// datasync returns when the contents of f, and its length, are on stable storage.
func datasync(f *os.File) error {
	return fd.Control(f, func(fd uintptr) error {
		for {
			if err := syscall.Fdatasync(int(fd)); err != syscall.EINTR {
				return os.NewSyscallError("fdatasync", err)
			}
		}
	})
}
