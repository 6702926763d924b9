package weirhttp

import (
	"net"
	"os"
	"runtime"
	"sync"
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"
)

// canPark says that downloads can leave net/http here.
const canPark = true

// openFlags let nothing wait for the other end of a named pipe.
const openFlags = unix.O_NONBLOCK | unix.O_NOCTTY

// sendMost is how much one call sends at most, in bytes: so much that the number
// of calls does not matter, and so little that a quick transfer is seen to move.
const sendMost = 16 << 20

// sendFile sends h and then n bytes of s. It copies in the kernel, at an offset
// of its own, so that any number of clients share one descriptor.
func (c *conn) sendFile(h []byte, s *span, n int64) (sent int64, err error) {
	m := s.meter()
	werr := c.raw.Write(func(fd uintptr) bool {
		m.enter(phaseMoving)
		for len(h) > 0 {
			k, e := sendPiece(int(fd), h, n > 0)
			h = h[k:]
			c.wrote.Add(int64(k))
			if e == unix.EAGAIN {
				m.enter(phaseClient)
				return false
			}
			if e != nil {
				err = c.writeError("sendmsg", e)
				return true
			}
		}
		for sent < n {
			k, e := s.f.sendPiece(int(fd), s.off, n-sent)
			switch {
			case k > 0:
				s.advance(int64(k))
				ask := min(n-sent, sendMost)
				sent += int64(k)
				c.gave(int64(k))
				if s.try && int64(k) < ask {
					// There was no room for more. If there is by now,
					// who waits is told at once.
					m.enter(phaseClient)
					return true
				}
			case e == unix.EAGAIN:
				m.enter(phaseClient)
				return s.try
			case e != nil:
				err = c.writeError("sendfile", e)
				return true
			default:
				err = ErrTruncated
				return true
			}
		}
		return true
	})
	runtime.KeepAlive(s.f)
	if err == nil {
		err = werr
	}
	return sent, err
}

// writeError is the error of a system call as package net has it.
func (c *conn) writeError(call string, err error) error {
	return &net.OpError{Op: "write", Net: "tcp", Source: c.LocalAddr(), Addr: c.RemoteAddr(), Err: os.NewSyscallError(call, err)}
}

// sendPiece sends some of b, to which more belongs.
func sendPiece(fd int, b []byte, more bool) (int, error) {
	flags := unix.MSG_NOSIGNAL
	if more {
		flags |= unix.MSG_MORE
	}
	for {
		n, err := unix.SendmsgN(fd, b, nil, nil, flags)
		if err != unix.EINTR {
			return max(n, 0), err
		}
	}
}

// sendPiece sends some of n bytes of f to a socket. At the end of f it sends none.
func (f *file) sendPiece(fd int, off, n int64) (int, error) {
	for {
		var k int
		var err error
		byMemory := f.copied.Load()
		if byMemory {
			k, err = copyPiece(fd, f.fd, off, n)
		} else {
			at := off
			k, err = unix.Sendfile(fd, f.fd, &at, int(min(n, sendMost)))
		}
		switch err {
		case unix.EINVAL, unix.ENOSYS, unix.EOPNOTSUPP:
			if !byMemory {
				f.copied.Store(true)
				continue
			}
		case unix.EINTR:
			continue
		}
		return k, err
	}
}

// copyPiece sends some of n bytes of a file through memory. Some file systems do
// not know sendfile.
func copyPiece(to, from int, off, n int64) (int, error) {
	buf := copyBuffers.Get().(*[]byte)
	defer copyBuffers.Put(buf)
	m, err := unix.Pread(from, (*buf)[:min(n, int64(len(*buf)))], off)
	if m <= 0 {
		return m, err
	}
	return unix.SendmsgN(to, (*buf)[:m], nil, nil, unix.MSG_NOSIGNAL)
}

// readable waits until there is something to read, and reports false at the end
// of the connection or its deadline.
func (c *conn) readable() (come bool) {
	var b [1]byte
	err := c.raw.Read(func(fd uintptr) bool {
		for {
			n, _, err := unix.Recvfrom(int(fd), b[:], unix.MSG_PEEK|unix.MSG_DONTWAIT)
			if err == unix.EINTR {
				continue
			}
			come = n > 0 && err == nil
			return err != unix.EAGAIN
		}
	})
	return come && err == nil
}

// infoQuery asks for TCP_INFO. It is kept between looks, since the watchdog
// looks at thousands of connections a second.
type infoQuery struct {
	info unix.TCPInfo
	size uint32
	ok   bool
	ask  func(fd uintptr)
}

var infoQueries = sync.Pool{New: func() any {
	q := new(infoQuery)
	q.ask = func(fd uintptr) {
		q.size = uint32(unsafe.Sizeof(q.info))
		_, _, e := unix.Syscall6(unix.SYS_GETSOCKOPT, fd, unix.IPPROTO_TCP, unix.TCP_INFO,
			uintptr(unsafe.Pointer(&q.info)), uintptr(unsafe.Pointer(&q.size)), 0)
		// Kernels before 4.6 do not know the last of the fields used here.
		q.ok = e == 0 && uintptr(q.size) >= unsafe.Offsetof(q.info.Notsent_bytes)+unsafe.Sizeof(q.info.Notsent_bytes)
	}
	return q
}}

// tcpProgress asks the kernel how a client takes what it is sent.
func tcpProgress(raw syscall.RawConn) (p progress, ok bool) {
	q := infoQueries.Get().(*infoQuery)
	defer infoQueries.Put(q)
	q.ok = false
	if raw.Control(q.ask) != nil || !q.ok {
		return progress{}, false
	}
	return progress{
		taken:   int64(q.info.Bytes_acked),
		unsent:  int64(q.info.Notsent_bytes),
		pending: q.info.Notsent_bytes > 0 || q.info.Unacked > 0,
	}, true
}

// limitUnsent bounds what the kernel takes for a connection beyond what it has
// sent. It is not inherited from the listener.
func limitUnsent(raw syscall.RawConn, n int) error {
	return setOption(raw, func(fd int) error {
		return unix.SetsockoptInt(fd, unix.IPPROTO_TCP, unix.TCP_NOTSENT_LOWAT, n)
	})
}

func setOption(raw syscall.RawConn, set func(fd int) error) error {
	var serr error
	if err := raw.Control(func(fd uintptr) { serr = set(int(fd)) }); err != nil {
		return err
	}
	return os.NewSyscallError("setsockopt", serr)
}
