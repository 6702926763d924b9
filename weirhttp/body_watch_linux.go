package weirhttp

import (
	"syscall"

	"golang.org/x/sys/unix"
)

// States of a TCP connection (include/net/tcp_states.h).
const (
	tcpClose     = 7
	tcpCloseWait = 8
)

// arrived asks the kernel what has come over a TCP connection, and whether it ends.
func arrived(raw syscall.RawConn) (a arrivals, ok bool) {
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
		a = arrivals{unread: int64(n), ended: info.State == tcpCloseWait || info.State == tcpClose, reset: info.State == tcpClose}
	})
	return a, ok && err == nil
}
