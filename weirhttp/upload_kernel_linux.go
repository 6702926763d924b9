package weirhttp

import (
	"context"
	"errors"
	"io"
	"os"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"github.com/weir-go/weir/weirhttp/internal/meter"
)

// canSplice says that the kernel can move bytes from a socket into a file.
const canSplice = true

// spliceMost is how much moves at once, in bytes: the size of the pipe, if the system
// allows that much.
const spliceMost = 1 << 20

// splice moves the rest of the body through a pipe. Package os could do that too, but it
// does not tell which end it waits for, and returns only when everything has moved.
func (k *kernelCopy) splice(ctx context.Context) error {
	var ends [2]int
	if unix.Pipe2(ends[:], unix.O_CLOEXEC|unix.O_NONBLOCK) != nil {
		return k.copy(ctx) // too many descriptors are open
	}
	defer unix.Close(ends[0])
	defer unix.Close(ends[1])
	// If a user without privileges has used up the memory for pipes, this one stays
	// small.
	_, _ = unix.FcntlInt(uintptr(ends[1]), unix.F_SETPIPE_SZ, spliceMost)
	from, err := k.conn.(syscall.Conn).SyscallConn()
	if err != nil {
		return err
	}
	to, err := k.file.SyscallConn()
	if err != nil {
		return err
	}
	for k.left > 0 {
		if err := k.next(ctx); err != nil {
			return err
		}
		began := time.Now()
		n, err := k.fill(from, ends[1])
		if errors.Is(err, unix.EINVAL) || errors.Is(err, unix.ENOSYS) {
			return k.copy(ctx)
		}
		if err = k.body.judge(int64(n), time.Since(began), err); err != nil {
			return fromClient(err)
		}
		if n == 0 {
			return io.ErrUnexpectedEOF
		}
		if err := k.drain(to, ends[0], n); err != nil {
			return err
		}
	}
	return nil
}

// fill moves bytes that have arrived into the pipe, which is empty. It waits for the client
// if there are none. It returns 0 at the end of the connection.
func (k *kernelCopy) fill(from syscall.RawConn, pipe int) (n int, err error) {
	var serr error
	err = from.Read(func(fd uintptr) bool {
		for {
			// The count is an int on 32-bit systems and an int64 on others.
			m, err := unix.Splice(int(fd), nil, pipe, nil, int(min(k.left, spliceMost)), unix.SPLICE_F_MOVE|unix.SPLICE_F_NONBLOCK)
			serr = err
			switch serr {
			case unix.EINTR:
				continue
			case unix.EAGAIN:
				k.x.meter.Enter(meter.Client)
				return false
			}
			n = int(m)
			return true
		}
	})
	k.x.meter.Enter(meter.Moving)
	if err == nil && serr != nil {
		err = os.NewSyscallError("splice", serr)
	}
	return n, err
}

// drain moves n bytes from the pipe into the file.
func (k *kernelCopy) drain(to syscall.RawConn, pipe, n int) error {
	for n > 0 {
		var m int64
		var serr error
		err := to.Control(func(fd uintptr) {
			count, err := unix.Splice(pipe, nil, int(fd), nil, n, unix.SPLICE_F_MOVE)
			m, serr = int64(count), err
		})
		switch {
		case err != nil:
			return err
		case serr == unix.EINTR:
			continue
		case serr != nil:
			return &os.PathError{Op: "splice", Path: k.file.Name(), Err: serr}
		case m == 0:
			return io.ErrShortWrite
		}
		k.moved(m)
		n -= int(m)
	}
	return nil
}
