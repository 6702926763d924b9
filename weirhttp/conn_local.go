package weirhttp

import "net"

// sameMachine reports whether both ends of a TCP connection are on this machine.
func sameMachine(here, there net.Addr) bool {
	h, _ := here.(*net.TCPAddr)
	t, _ := there.(*net.TCPAddr)
	return h != nil && t != nil && (t.IP.IsLoopback() || t.IP.Equal(h.IP))
}
