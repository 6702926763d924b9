package lock

import (
	"errors"
	"fmt"
	"os"
	"syscall"
	"unsafe"

	"github.com/weir-go/weir/internal/fd"
)

const noFollow = 0

var lockFileEx = syscall.NewLazyDLL("kernel32.dll").NewProc("LockFileEx")

// try locks one byte far behind the end. A lock of bytes that exist would keep
// others from reading them.
func try(f *os.File) error {
	const (
		failImmediately = 1
		exclusive       = 2
		lockViolation   = syscall.Errno(33)
		ioPending       = syscall.Errno(997)
	)
	return fd.Control(f, func(fd uintptr) error {
		at := syscall.Overlapped{OffsetHigh: 1 << 30}
		ok, _, errno := lockFileEx.Call(fd, exclusive|failImmediately, 0, 1, 0, uintptr(unsafe.Pointer(&at)))
		switch {
		case ok != 0:
			return nil
		case errors.Is(errno, lockViolation), errors.Is(errno, ioPending):
			return ErrHeld
		}
		return fmt.Errorf("%w: %w", errors.ErrUnsupported, errno)
	})
}

// unlock does nothing: a process inherits no handles that it is not given.
func unlock(*os.File) {}

func dup(*os.File) (*os.File, error) { return nil, errors.ErrUnsupported }
