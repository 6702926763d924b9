package weirhttp

import (
	"net"
	"os"
	"runtime"

	"golang.org/x/sys/unix"

	"github.com/weir-go/weir/weirhttp/internal/meter"
	"github.com/weir-go/weir/weirhttp/internal/tcp"
)

// canPark says that downloads can leave net/http on this platform.
const canPark = true

// openFlags keep open from waiting for the other end of a named pipe.
const openFlags = unix.O_NONBLOCK | unix.O_NOCTTY

// sendFile sends h and then n bytes of s. The kernel copies bytes of a file from an
// explicit offset, so that any number of clients share one descriptor.
func (c *conn) sendFile(h []byte, s *span, n int64) (sent int64, err error) {
	m := s.meter()
	werr := c.raw.Write(func(fd uintptr) bool {
		m.Enter(meter.Moving)
		for len(h) > 0 {
			k, e := tcp.Send(int(fd), h, n > 0)
			h = h[k:]
			c.wrote.Add(int64(k))
			if e == unix.EAGAIN {
				m.Enter(meter.Client)
				return false
			}
			if e != nil {
				err = c.writeError("sendmsg", e)
				return true
			}
		}
		for sent < n {
			if err = s.load(); err != nil {
				return true
			}
			var k int
			var e error
			ask := min(n-sent, int64(len(s.body)))
			if ask > 0 {
				k, e = tcp.Send(int(fd), s.body[:ask], s.left > ask)
			} else {
				if ask, err = s.ready(min(n-sent, tcp.MaxSend)); err != nil {
					return true
				}
				k, e = tcp.SendFile(int(fd), s.f.FD, &s.f.Copied, s.off, ask)
			}
			switch {
			case k > 0:
				s.advance(int64(k))
				sent += int64(k)
				c.gave(int64(k))
				if s.try && int64(k) < ask {
					// The socket was full. If it has space again by now, the lot
					// wakes us at once.
					m.Enter(meter.Client)
					return true
				}
			case e == unix.EAGAIN:
				m.Enter(meter.Client)
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

// writeError returns the error of a system call in the form of package net.
func (c *conn) writeError(call string, err error) error {
	return &net.OpError{Op: "write", Net: "tcp", Source: c.LocalAddr(), Addr: c.RemoteAddr(), Err: os.NewSyscallError(call, err)}
}
