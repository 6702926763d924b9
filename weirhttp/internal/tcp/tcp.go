// Package tcp asks the kernel about TCP connections and moves bytes from files into
// them. Most of it works on Linux only; elsewhere the functions report that they do
// not.
package tcp

import "net"

// Progress is how much of the data that the server gave to the kernel a client has
// received.
type Progress struct {
	Acked   int64 // bytes the client has acknowledged
	Unsent  int64 // bytes waiting in the kernel
	Pending bool  // some bytes are not acknowledged yet
}

// Arrivals is what the kernel knows about bytes from a client.
type Arrivals struct {
	Unread int64 // bytes that arrived and were not read
	Ended  bool  // the client sends nothing more
	Reset  bool  // the client does not receive any more either
}

// SameMachine reports whether both ends of a TCP connection are on this machine.
func SameMachine(here, there net.Addr) bool {
	h, _ := here.(*net.TCPAddr)
	t, _ := there.(*net.TCPAddr)
	return h != nil && t != nil && (t.IP.IsLoopback() || t.IP.Equal(h.IP))
}
