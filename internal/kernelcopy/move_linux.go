package kernelcopy

import (
	"fmt"
	"os"
	"runtime"
	"sync"
	"syscall"
	"time"
	"unsafe"
)

const (
	spliceMove     = 1 // SPLICE_F_MOVE
	spliceNonblock = 2 // SPLICE_F_NONBLOCK: do not wait for a pipe
)

// callNumbers of copy_file_range(2), which package syscall does not know.
var callNumbers = map[string]uintptr{
	"386": 377, "amd64": 326, "arm": 391, "arm64": 285, "loong64": 285,
	"mips": 4360, "mipsle": 4360, "mips64": 5320, "mips64le": 5320,
	"ppc64": 379, "ppc64le": 379, "riscv64": 285, "s390x": 375,
}

// copyFileRange is the mover between regular files of one file system.
func copyFileRange(d, s end) mover {
	number, known := callNumbers[runtime.GOARCH]
	if !known || !reliable() {
		return func(*transfer, int64) (int64, error) { return 0, errUnsupported }
	}
	return pieces(d, s, "copy_file_range", func(dst, src, max int) (int, error) {
		n, _, errno := syscall.Syscall6(number, uintptr(src), 0, uintptr(dst), 0, uintptr(max), 0)
		if errno != 0 {
			return 0, errno
		}
		return int(n), nil
	})
}

// reliable reports whether copy_file_range works as it should, as it does since
// Linux 5.3.
var reliable = sync.OnceValue(func() bool {
	var u syscall.Utsname
	if syscall.Uname(&u) != nil {
		return false
	}
	var release []byte
	for _, c := range u.Release {
		release = append(release, byte(c))
	}
	var major, minor int
	fmt.Sscanf(string(release), "%d.%d", &major, &minor)
	return major > 5 || major == 5 && minor >= 3
})

// sendfile is the mover from a regular file to a file or a socket.
func sendfile(d, s end) mover {
	return pieces(d, s, "sendfile", func(dst, src, max int) (int, error) {
		return syscall.Sendfile(dst, src, nil, max)
	})
}

// splice is the mover from a regular file to a pipe.
func splice(d, s end) mover {
	return pieces(d, s, "splice", func(dst, src, max int) (int, error) {
		n, err := syscall.Splice(src, nil, dst, nil, max, spliceNonblock)
		return int(n), err
	})
}

// pieces makes a mover of a system call that moves as many bytes as it can at
// once from a regular file. The file is always ready, so EAGAIN speaks of the
// destination and is waited for there. If the call itself sleeps, it sleeps for
// the source then, unless the destination is a file too.
func pieces(d, s end, name string, call func(dst, src, max int) (int, error)) mover {
	begun := false
	return func(t *transfer, max int64) (total int64, err error) {
		for total < max && err == nil {
			if t.g.enter(waiting) {
				return total, errEnded
			}
			var n int
			var cerr error
			err = onto(t, d, s, func(dst, src uintptr) bool {
				t.around(func() int64 {
					n, cerr = call(int(dst), int(src), int(min(max-total, 1<<30)))
					return int64(n)
				}, d.kind != regular, false)
				return cerr != syscall.EAGAIN
			})
			t.g.leave()
			switch {
			case err != nil:
				err = t.interrupted(err)
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
				if !begun {
					begun = true
					t.Observer.Path(name)
				}
				total += int64(n)
			}
		}
		return total, err
	}
}

// onto calls again with the descriptors of both ends until it returns true.
// Between the calls it waits for the destination.
func onto(t *transfer, d, s end, again func(dst, src uintptr) bool) error {
	try := func(dst, src uintptr) bool {
		done := again(dst, src)
		if !done {
			t.Observer.Enter(Writing)
		}
		return done
	}
	if d.kind != pipe || !d.waits {
		return within(s.conn, d.conn, syscall.RawConn.Write, func(src, dst uintptr) bool { return try(dst, src) })
	}
	for {
		done := false
		err := control(d.conn, func(dst uintptr) {
			control(s.conn, func(src uintptr) {
				if done = try(dst, src); !done {
					pollMoment(dst, pollOut)
				}
			})
		})
		if err != nil || done {
			return err
		}
		if t.g.over() {
			return errEnded
		}
	}
}

const (
	pollIn  = 1
	pollOut = 4
)

// pollMoment waits until fd is ready for the events, or for a moment: no
// deadline of package os reaches a pipe that was opened to block.
func pollMoment(fd uintptr, events int16) (ready bool) {
	p := struct {
		fd              int32
		events, revents int16
	}{int32(fd), events, 0}
	moment := syscall.NsecToTimespec(int64(20 * time.Millisecond))
	n, _, _ := syscall.Syscall6(syscall.SYS_PPOLL, uintptr(unsafe.Pointer(&p)), 1, uintptr(unsafe.Pointer(&moment)), 0, 0, 0)
	return n == 1
}

// within calls again with the descriptors of both ends, and once more whenever
// the second has become ready, until it returns true.
func within(ready, wait syscall.Conn, op func(syscall.RawConn, func(uintptr) bool) error, again func(ready, wait uintptr) bool) error {
	rc, err := wait.SyscallConn()
	if err != nil {
		return err
	}
	var werr error
	err = control(ready, func(r uintptr) {
		werr = op(rc, func(w uintptr) bool { return again(r, w) })
	})
	if err == nil {
		err = werr
	}
	return err
}

// sampled is a mover between regular files that moves a piece through memory
// now and then, to time reading and writing apart. Where the file system may
// share blocks, a sample would be the part that is not shared; it is taken only
// once the kernel has shown that it copies.
func sampled(d, s end, data mover) mover {
	clones := mayClone(d, s)
	copies := clones == never
	return func(t *transfer, max int64) (total int64, err error) {
		if !t.observed() || clones == remote {
			return data(t, max)
		}
		if size := t.samples.due(max); copies && size > 0 {
			if total, err = t.sample(d.file, s.file, size); err != nil || total < size || total == max {
				return total, err
			}
		}
		took, slept := t.took, t.slept
		n, err := data(t, max-total)
		took, slept = t.took-took, t.slept-slept
		if n > 0 {
			t.samples.moved, t.samples.run = t.samples.moved+n, 0
		}
		t.samples.call(took, slept)
		if n > 0 {
			copies = clones == never || took > time.Duration(n>>20)*clonedMiB
		}
		return total + n, err
	}
}

// relay is the mover from a socket to a socket, a file or a pipe, through its
// own pipe in the kernel.
type relay struct {
	d, s  end
	r, w  int // of the pipe; 0 if there is none yet
	begun bool
}

// relayMost is how much is spliced at once, as in the standard library.
const relayMost = 1 << 20

func (p *relay) open() error {
	if p.w != 0 {
		return nil
	}
	var fds [2]int
	if err := syscall.Pipe2(fds[:], syscall.O_CLOEXEC|syscall.O_NONBLOCK); err != nil {
		return errUnsupported
	}
	p.r, p.w = fds[0], fds[1]
	const setSize = 1031 // F_SETPIPE_SZ; a pipe that stays small works too
	syscall.Syscall(syscall.SYS_FCNTL, uintptr(p.w), setSize, relayMost)
	return nil
}

func (p *relay) close() {
	if p.w != 0 {
		syscall.Close(p.r)
		syscall.Close(p.w)
		p.r, p.w = 0, 0
	}
}

func (p *relay) move(t *transfer, max int64) (total int64, err error) {
	if err := p.open(); err != nil {
		return 0, err
	}
	for total < max && err == nil {
		var held, n int64
		if held, err = p.fill(t, min(max-total, relayMost)); held == 0 {
			break
		}
		n, err = p.empty(t, held)
		total += n
	}
	return total, err
}

// fill waits for data and splices the available data from the source into the
// pipe. 0 without an error means the end.
func (p *relay) fill(t *transfer, max int64) (n int64, err error) {
	for {
		if t.g.enter(reading) {
			return 0, errEnded
		}
		t.Observer.Enter(Reading)
		var cerr error
		rc, err := p.s.conn.SyscallConn()
		if err == nil {
			err = rc.Read(func(fd uintptr) bool {
				n, cerr = splice64(int(fd), p.w, max)
				return cerr != syscall.EAGAIN
			})
		}
		t.g.leave()
		switch {
		case err != nil:
			return 0, t.interrupted(err)
		case cerr == syscall.EINTR:
			continue
		case cerr != nil && !p.begun && unsupported(cerr):
			return 0, errUnsupported
		case cerr != nil:
			return 0, os.NewSyscallError("splice", cerr)
		}
		return n, nil
	}
}

// empty splices the n bytes that the pipe holds to the destination.
func (p *relay) empty(t *transfer, held int64) (total int64, err error) {
	for total < held {
		if t.g.enter(writing) {
			return total, errEnded
		}
		var n int64
		var cerr error
		rc, err := p.d.conn.SyscallConn()
		if err == nil {
			err = rc.Write(func(fd uintptr) bool {
				t.around(func() int64 {
					n, cerr = splice64(p.r, int(fd), held-total)
					return n
				}, false, true)
				if cerr == syscall.EAGAIN {
					t.Observer.Enter(Writing)
				}
				return cerr != syscall.EAGAIN
			})
		}
		t.g.leave()
		switch {
		case err != nil:
			return total, err
		case cerr == syscall.EINTR:
		case unsupported(cerr):
			n, err := p.throughMemory(t, held-total)
			total += n
			if err == nil {
				err = errUnsupported
			}
			return total, err
		case cerr != nil:
			return total, os.NewSyscallError("splice", cerr)
		case n == 0:
			return total, errBadWrite
		}
		if !p.begun {
			p.begun = true
			t.Observer.Path("splice")
		}
		total += n
	}
	return total, nil
}

// throughMemory writes the contents of the pipe if the destination takes no
// splice.
func (p *relay) throughMemory(t *transfer, held int64) (total int64, err error) {
	b := smallBuffers.Get().(*[]byte)
	defer smallBuffers.Put(b)
	for total < held {
		n, err := syscall.Read(p.r, (*b)[:min(smallBuffer, held-total)])
		if err != nil {
			return total, os.NewSyscallError("read", err)
		}
		if t.g.enter(writing) {
			return total, errEnded
		}
		t.Observer.Enter(Writing)
		m, err := t.dst.Write((*b)[:n])
		t.g.leave()
		total += int64(m)
		if err != nil {
			return total, err
		}
	}
	return total, nil
}

func splice64(from, to int, max int64) (int64, error) {
	n, err := syscall.Splice(from, nil, to, nil, int(max), spliceNonblock|spliceMove)
	return int64(n), err
}

// unsupported reports whether the kernel would not do it at all, as opposed to
// having failed at it.
func unsupported(err error) bool {
	switch err {
	case syscall.EINVAL, syscall.ENOSYS, syscall.EOPNOTSUPP, syscall.EPERM, syscall.EXDEV, syscall.EIO:
		return true // EIO: of some network file systems; if it is a real one it comes again
	}
	return false
}
