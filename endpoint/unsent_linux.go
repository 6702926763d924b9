package endpoint

import "syscall"

// boundUnsent keeps the kernel from holding more than 128 KiB that it has not
// sent yet. Otherwise a socket to a slow server takes nothing for as long as a
// third of several megabytes needs to drain, which looks like a stall. It is a
// hint: an error changes nothing that a user must know.
func boundUnsent(_, _ string, c syscall.RawConn) error {
	const tcpNotsentLowat = 25 // package syscall does not have it
	c.Control(func(fd uintptr) {
		syscall.SetsockoptInt(int(fd), syscall.IPPROTO_TCP, tcpNotsentLowat, 128<<10)
	})
	return nil
}
