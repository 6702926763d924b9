package tcp

import (
	"os"
	"sync"
	"sync/atomic"
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"
)

// MaxSend is the most that one call of SendFile sends, in bytes. It is so large that
// the number of calls does not matter, and so small that a fast transfer is seen to
// move.
const MaxSend = 16 << 20

// Send sends some of b to a socket. more says that more bytes follow at once. It
// returns unix.EAGAIN if the socket has no space.
func Send(fd int, b []byte, more bool) (int, error) {
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

// SendFile sends some of n bytes of a file, from offset off, to a socket, and does not
// move the offset of the file. At the end of the file it sends none. It returns
// unix.EAGAIN if the socket has no space. Where the file system does not support
// sendfile it sets copied, and copies through memory from then on.
func SendFile(to, from int, copied *atomic.Bool, off, n int64) (int, error) {
	for {
		var k int
		var err error
		byMemory := copied.Load()
		if byMemory {
			k, err = copyFile(to, from, off, n)
		} else {
			at := off
			k, err = unix.Sendfile(to, from, &at, int(min(n, MaxSend)))
		}
		switch err {
		case unix.EINVAL, unix.ENOSYS, unix.EOPNOTSUPP:
			if !byMemory {
				copied.Store(true)
				continue
			}
		case unix.EINTR:
			continue
		}
		return k, err
	}
}

var buffers = sync.Pool{New: func() any { b := make([]byte, 32<<10); return &b }}

// copyFile is SendFile through memory.
func copyFile(to, from int, off, n int64) (int, error) {
	buf := buffers.Get().(*[]byte)
	defer buffers.Put(buf)
	m, err := unix.Pread(from, (*buf)[:min(n, int64(len(*buf)))], off)
	if m <= 0 {
		return m, err
	}
	return unix.SendmsgN(to, (*buf)[:m], nil, nil, unix.MSG_NOSIGNAL)
}

// WaitReadable waits until there is something to read. It reports false at the end
// of the connection and at its read deadline.
func WaitReadable(raw syscall.RawConn) (readable bool) {
	var b [1]byte
	err := raw.Read(func(fd uintptr) bool {
		for {
			n, _, err := unix.Recvfrom(int(fd), b[:], unix.MSG_PEEK|unix.MSG_DONTWAIT)
			if err == unix.EINTR {
				continue
			}
			readable = n > 0 && err == nil
			return err != unix.EAGAIN
		}
	})
	return readable && err == nil
}

// infoQuery gets TCP_INFO. Queries are pooled, since the watchdog of a server makes
// thousands of them a second.
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
		// Kernels before 4.6 do not have the last of the fields used here.
		q.ok = e == 0 && uintptr(q.size) >= unsafe.Offsetof(q.info.Notsent_bytes)+unsafe.Sizeof(q.info.Notsent_bytes)
	}
	return q
}}

// ProgressOf asks the kernel how far the client has received. It reports false if the
// kernel does not tell.
func ProgressOf(raw syscall.RawConn) (p Progress, ok bool) {
	q := infoQueries.Get().(*infoQuery)
	defer infoQueries.Put(q)
	q.ok = false
	if raw.Control(q.ask) != nil || !q.ok {
		return Progress{}, false
	}
	return Progress{
		Acked:   int64(q.info.Bytes_acked),
		Unsent:  int64(q.info.Notsent_bytes),
		Pending: q.info.Notsent_bytes > 0 || q.info.Unacked > 0,
	}, true
}

// States of a TCP connection (include/net/tcp_states.h).
const (
	tcpClose     = 7
	tcpCloseWait = 8
)

// ArrivalsOf asks the kernel what has arrived, and whether the client has ended its
// side. It reports false if the kernel does not tell.
func ArrivalsOf(raw syscall.RawConn) (a Arrivals, ok bool) {
	err := raw.Control(func(fd uintptr) {
		info, err := unix.GetsockoptTCPInfo(int(fd), unix.IPPROTO_TCP, unix.TCP_INFO)
		if err != nil {
			return
		}
		n, err := unix.IoctlGetInt(int(fd), unix.SIOCINQ)
		if err != nil {
			return
		}
		ok = true
		a = Arrivals{Unread: int64(n), Ended: info.State == tcpCloseWait || info.State == tcpClose, Reset: info.State == tcpClose}
	})
	return a, ok && err == nil
}

// LimitUnsent limits how many bytes the kernel accepts for a connection beyond those
// that it has sent. Connections do not inherit the limit from their listener.
func LimitUnsent(raw syscall.RawConn, n int) error {
	return setOption(raw, func(fd int) error {
		return unix.SetsockoptInt(fd, unix.IPPROTO_TCP, unix.TCP_NOTSENT_LOWAT, n)
	})
}

// Unpace stops the kernel from spreading the packets of a connection over time. Use it
// for connections between two programs of one machine, such as from a proxy to the
// server. If the system's congestion control paces, as BBR does, the kernel sets a
// timer every few packets to protect a network that is not there. That takes half the
// time of a fast download or more. Reno does not pace, is in every kernel, and needs no
// privilege (tcp(7), tcp_allowed_congestion_control).
func Unpace(raw syscall.RawConn) error {
	return setOption(raw, func(fd int) error {
		return unix.SetsockoptString(fd, unix.IPPROTO_TCP, unix.TCP_CONGESTION, "reno")
	})
}

func setOption(raw syscall.RawConn, set func(fd int) error) error {
	var serr error
	if err := raw.Control(func(fd uintptr) { serr = set(int(fd)) }); err != nil {
		return err
	}
	return os.NewSyscallError("setsockopt", serr)
}
