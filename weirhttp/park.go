package weirhttp

import (
	"errors"
	"net"
	"net/http"
)

// parkAbove is how much must be left to send for a download to be parked:
// below it the goroutine and the buffers of net/http are free again soon.
const parkAbove = 256 << 10

// parked is a download that has left net/http: its goroutine and buffers are
// gone, and it waits in the lot of its port whenever its client takes no more.
// One that has a rate keeps a small goroutine instead.
type parked struct {
	c       *conn
	s       span
	keep    bool // the connection goes on after the answer
	release func()
}

// park takes the connection of r away from net/http after a part of the answer
// was sent. It reports false if it cannot be had.
func park(w http.ResponseWriter, r *http.Request, c *conn, s *span, release func()) bool {
	hj, ok := w.(http.Hijacker)
	if !ok {
		return false
	}
	_, rw, err := hj.Hijack()
	if err != nil {
		return false
	}
	if n := rw.Reader.Buffered(); n > 0 {
		b, _ := rw.Reader.Peek(n)
		c.early = append(append([]byte(nil), b...), c.early...)
	}
	s.try = c.port.lot.usable() && !c.paced()
	p := &parked{c: c, s: *s, release: release, keep: r.ProtoAtLeast(1, 1) && !c.closes}
	if !c.port.start(c, p.run) {
		p.end(net.ErrClosed) // it was closed from outside
	}
	return true
}

// run sends what the client takes. After the last of it, it gives the
// connection back.
func (p *parked) run() {
	c := p.c
	_, err := c.sendSpan(&p.s)
	if err == nil && p.s.left > 0 {
		if err = c.port.lot.wait(p); err == nil {
			return // p is not ours any more
		}
		err = c.cause(err)
	}
	keep := p.keep
	p.end(err)
	switch {
	case err != nil:
	case keep:
		c.await()
	default:
		c.finish()
	}
}

// end gives back what the download held.
func (p *parked) end(err error) {
	if err != nil {
		p.c.Close() // short of the length that was promised: the client notices
	}
	if errors.Is(err, ErrTruncated) {
		p.c.port.g.log().Warn("answer aborted", "path", p.s.x.info.Name, "client", p.c.RemoteAddr().String(), "error", err)
	}
	p.s.f.release()
	p.release()
	p.s.x.end(err)
	*p = parked{} // the goroutine goes on while the connection waits
}
