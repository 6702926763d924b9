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

// readAhead is how much of a body net/http may have in its buffer, in bytes.
const readAhead = 4 << 10

// arrivals is what the kernel knows of a connection's other end.
type arrivals struct {
	unread int64 // bytes that have come and were not read
	ended  bool  // the other end sends no more
	reset  bool  // or does not even take more
}

// Watch finds out that the client has left while its body waits for room in the
// flow, and so is not read: the connection was reset, or has ended and what has come
// is not all of the body.
func (b *bodySource) Watch(ctx context.Context) error {
	raw := rawConn(b.r)
	if raw == nil {
		<-ctx.Done()
		return ctx.Err()
	}
	ticker := time.NewTicker(bodyWatch)
	defer ticker.Stop()
	before := int64(-1) // bytes that were read when too few had come
	for {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-ticker.C:
		}
		a, ok := arrived(raw)
		if !ok {
			<-ctx.Done()
			return ctx.Err()
		}
		if a.reset {
			return syscall.ECONNRESET
		}
		// What is being read at this moment is in neither count, but will be
		// when nothing has been read until the next look.
		n := b.got.Load()
		short := a.ended && b.counts() && n+a.unread+readAhead < b.r.ContentLength
		if short && n == before {
			return io.ErrUnexpectedEOF
		}
		if before = -1; short {
			before = n
		}
	}
}

// counts reports whether the bytes of the connection are those of the body.
func (b *bodySource) counts() bool {
	return b.r.ProtoMajor == 1 && b.r.TLS == nil && b.r.ContentLength > 0
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
