//go:build darwin || dragonfly || freebsd || linux || netbsd || openbsd

package lock

import (
	"errors"
	"fmt"
	"os"
	"syscall"

	"github.com/weir-go/weir/internal/fd"
)

const noFollow = syscall.O_NOFOLLOW

func try(f *os.File) error {
	return fd.Control(f, func(fd uintptr) error {
		for {
			err := syscall.Flock(int(fd), syscall.LOCK_EX|syscall.LOCK_NB)
			switch {
			case err == nil:
				return nil
			case errors.Is(err, syscall.EINTR):
			case errors.Is(err, syscall.EWOULDBLOCK):
				return ErrHeld
			default: // ENOLCK, ENOSYS and others of file systems without locks
				return fmt.Errorf("%w: %w", errors.ErrUnsupported, err)
			}
		}
	})
}

func unlock(f *os.File) {
	fd.Control(f, func(fd uintptr) error { return syscall.Flock(int(fd), syscall.LOCK_UN) })
}

func dup(f *os.File) (*os.File, error) {
	var own *os.File
	err := fd.Control(f, func(fd uintptr) error {
		syscall.ForkLock.RLock()
		defer syscall.ForkLock.RUnlock()
		n, err := syscall.Dup(int(fd))
		if err != nil {
			return os.NewSyscallError("dup", err)
		}
		syscall.CloseOnExec(n)
		own = os.NewFile(uintptr(n), f.Name())
		return nil
	})
	return own, err
}
