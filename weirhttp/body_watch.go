package weirhttp

import (
	"context"
	"io"
	"net"
	"net/http"
	"syscall"
	"time"
)

// bodyWatch is how often a connection is looked at while its body is read.
const bodyWatch = 250 * time.Millisecond

// readAhead is more than what net/http and TLS have of a body in their buffers, in
// bytes.
const readAhead = 64 << 10

// arrivals is what the kernel knows of a connection's other end.
type arrivals struct {
	unread int64 // bytes that have come and were not read
	ended  bool  // nothing more comes
	reset  bool  // and nothing is taken any more
}

// Watch ends the flow at once when the client has left, whatever came before. Read
// tells it, or the connection does: while the body waits for room in the flow, and
// so is not read, the connection has ended and what has come is not all of the body.
func (b *bodySource) Watch(ctx context.Context) error {
	raw := b.watchable()
	if raw == nil {
		select {
		case err := <-b.broken:
			return err
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	ticker := time.NewTicker(bodyWatch)
	defer ticker.Stop()
	before := int64(-1) // bytes that were read when too few had come
	for {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case err := <-b.broken:
			return err
		case <-ticker.C:
		}
		// What is being read at this moment is in neither count, but will be
		// when nothing has been read until the next look.
		n := b.got.Load()
		a, ok := arrived(raw)
		short := ok && a.ended && n+a.unread+readAhead < b.r.ContentLength
		switch {
		case short && n == before && a.reset:
			return syscall.ECONNRESET
		case short && n == before:
			return io.ErrUnexpectedEOF
		case short:
			before = n
		default:
			before = -1
		}
	}
}

// watchable returns the connection if it tells how much of the body has come: not
// that of HTTP/2, nor where somebody else reads, nor where a rate holds back what
// was read.
func (b *bodySource) watchable() syscall.RawConn {
	if b.r.ProtoMajor != 1 || b.r.ContentLength <= readAhead || !isOwn(b.r.Body) {
		return nil
	}
	if c := connOf(b.r); c != nil && c.paced() {
		return nil
	}
	return rawConn(b.r)
}

// rawConn returns the connection that r came over, nil if it cannot be had.
func rawConn(r *http.Request) syscall.RawConn {
	if c := connOf(r); c != nil {
		return c.raw
	}
	c, _ := r.Context().Value(uploadConnKey{}).(net.Conn)
	if sc, ok := c.(syscall.Conn); ok {
		if raw, err := sc.SyscallConn(); err == nil {
			return raw
		}
	}
	return nil
}
