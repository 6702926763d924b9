package stdio

import (
	"fmt"
	"io/fs"
	"os"
	"syscall"
	"time"
)

// openAgain opens the file of fd again, non-blocking. The new descriptor does
// not share its flags with the old one. It returns nil if that is useless or
// not allowed.
func openAgain(fd uintptr, flag int, mode fs.FileMode, name string) *os.File {
	if mode&(fs.ModeNamedPipe|fs.ModeCharDevice) == 0 {
		return nil
	}
	path := fmt.Sprintf("/proc/self/fd/%d", fd)
	n, err := syscall.Open(path, flag|syscall.O_NONBLOCK|syscall.O_NOCTTY|syscall.O_CLOEXEC, 0)
	if err != nil {
		return nil
	}
	if mode&fs.ModeNamedPipe != 0 {
		widen(n)
	}
	f := os.NewFile(uintptr(n), name)
	// A device that cannot be waited for must not be non-blocking.
	if f.SetDeadline(time.Time{}) != nil {
		f.Close()
		return nil
	}
	return f
}

// pipeSize is the capacity of pipes once we have them: processes at both ends
// change places four times less often than with the kernel's own 64 KiB.
const pipeSize = 256 << 10

// widen lets a pipe hold more (fcntl(2), F_SETPIPE_SZ), if it may.
func widen(fd int) {
	const setSize, getSize = 1031, 1032
	size, _, errno := syscall.Syscall(syscall.SYS_FCNTL, uintptr(fd), getSize, 0)
	if errno == 0 && size < pipeSize {
		syscall.Syscall(syscall.SYS_FCNTL, uintptr(fd), setSize, pipeSize)
	}
}
