package kernelcopy

import (
	"os"
	"syscall"
)

// spliceNonblock keeps splice(2) from waiting for the pipe.
const spliceNonblock = 2

// sendfile is the mover from a regular file to a file or a socket.
func sendfile(d, s end) mover {
	return pieces(d, s, "sendfile", func(dst, src, max int) (int, error) {
		return syscall.Sendfile(dst, src, nil, max)
	})
}

// splice is the mover between a pipe and a regular file. A pipe that was
// opened to wait does so inside the call, as it would in read(2) or write(2).
func splice(d, s end) mover {
	flags := spliceNonblock
	if d.kind == pipe && d.waits || s.kind == pipe && s.waits {
		flags = 0
	}
	return pieces(d, s, "splice", func(dst, src, max int) (int, error) {
		n, err := syscall.Splice(src, nil, dst, nil, max, flags)
		return int(n), err
	})
}

// pieces makes a mover of a system call that moves what it can at once. One of
// the two ends is a regular file, which is always ready, so EAGAIN speaks of
// the other and is waited for there, within its deadline.
func pieces(d, s end, name string, call func(dst, src, max int) (int, error)) mover {
	begun := false
	return func(max int64) (total int64, err error) {
		for total < max && err == nil {
			var n int
			var cerr error
			again := func(dst, src uintptr) bool {
				n, cerr = call(int(dst), int(src), int(min(max-total, 1<<30)))
				return cerr == syscall.EAGAIN
			}
			if s.kind == regular {
				err = within(s.conn, d.conn, syscall.RawConn.Write, func(src, dst uintptr) bool { return again(dst, src) })
			} else {
				err = within(d.conn, s.conn, syscall.RawConn.Read, again)
			}
			switch {
			case err != nil:
			case cerr == syscall.EINTR:
			case total == 0 && unsupported(cerr):
				return 0, errUnsupported
			case cerr != nil:
				err = os.NewSyscallError(name, cerr)
			case n == 0 && !begun: // files that the kernel makes up may say that
				return 0, errUnsupported
			case n == 0:
				return total, nil
			default:
				begun = true
				total += int64(n)
			}
		}
		return total, err
	}
}

// within calls again with the descriptors of both ends, and once more whenever
// the second has become ready, as long as it returns true.
func within(ready, wait syscall.Conn, op func(syscall.RawConn, func(uintptr) bool) error, again func(ready, wait uintptr) bool) error {
	rc, err := wait.SyscallConn()
	if err != nil {
		return err
	}
	var werr error
	err = control(ready, func(r uintptr) {
		werr = op(rc, func(w uintptr) bool { return !again(r, w) })
	})
	if err == nil {
		err = werr
	}
	return err
}

// unsupported reports whether the kernel would not do it at all, as opposed to
// having failed at it.
func unsupported(err error) bool {
	switch err {
	case syscall.EINVAL, syscall.ENOSYS, syscall.EOPNOTSUPP, syscall.EPERM, syscall.EXDEV:
		return true
	}
	return false
}
