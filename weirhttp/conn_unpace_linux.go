package weirhttp

import (
	"syscall"

	"golang.org/x/sys/unix"
)

// unpace takes the timers away from a connection between two programs of this
// machine, as with a proxy in front of the server. Where the system's congestion
// control paces (BBR does) the kernel sets one every few packets, to spare a
// network that is not there: it is half the time of a fast download and more.
// Reno does not pace, is in every kernel, and may be asked for by everybody
// (tcp(7), tcp_allowed_congestion_control).
func unpace(raw syscall.RawConn) error {
	return setOption(raw, func(fd int) error {
		return unix.SetsockoptString(fd, unix.IPPROTO_TCP, unix.TCP_CONGESTION, "reno")
	})
}
