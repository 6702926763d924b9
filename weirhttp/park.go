package weirhttp

import (
	"net"
	"net/http"
	"runtime/debug"
	"time"

	"github.com/weir-go/weir/weirhttp/internal/tcp"
)

// parkAbove is how many bytes must be left for a download to be parked. Smaller ones
// free the goroutine and the buffers of net/http soon anyway.
const parkAbove = 256 << 10

// parked is a download that has left net/http and its goroutine and buffers. It waits in
// the lot of its port while its client receives. A download with a rate limit keeps a
// small goroutine instead.
type parked struct {
	c       *conn
	port    *port
	s       span
	keep    bool // the connection stays open after the answer
	release func()
}

// park takes the connection of r away from net/http after a part of the answer was
// sent. It reports false if net/http does not give the connection away.
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
	port := portOf(c)
	s.try = port.lot.usable() && !c.paced()
	p := &parked{c: c, port: port, s: *s, release: release, keep: r.ProtoAtLeast(1, 1) && !c.closes}
	if !port.start(c, p.run) {
		p.end(net.ErrClosed) // the guard has closed it
	}
	return true
}

// conn returns the connection; see sleeper.
func (p *parked) conn() *conn { return p.c }

// run sends as much as the client can receive now. After the last byte it gives the
// connection back to the server.
func (p *parked) run() {
	c, port := p.c, p.port
	_, err := c.sendSpan(&p.s)
	if err == nil && p.s.left > 0 {
		if err = port.lot.wait(p); err == nil {
			return // the lot owns p now
		}
		err = c.cause(err)
	}
	keep := p.keep
	p.end(err)
	switch {
	case err != nil:
	case keep:
		await(c, port)
	default:
		c.finish()
	}
}

// end releases the resources of the download.
func (p *parked) end(err error) {
	if err != nil {
		p.c.Close() // the client notices: the answer is shorter than announced
	}
	if isFileFault(err) {
		p.port.g.log().Warn("download aborted", "path", p.s.x.name(), "client", p.c.RemoteAddr().String(), "error", err)
	}
	p.s.close()
	p.release()
	p.tell(err)
	*p = parked{} // the goroutine stays while the connection waits for a request
}

// tell ends the transfer. No handler and no net/http recovers from a panic of Transfers.Done
// here, so tell does.
func (p *parked) tell(err error) {
	defer func() {
		if e := recover(); e != nil {
			p.port.g.log().Error("panic at the end of a transfer", "path", p.s.x.name(), "panic", e, "stack", string(debug.Stack()))
		}
	}()
	p.s.x.end(err)
}

// await waits for the next request on a connection that was parked, and hands it back to
// the server.
func await(c *conn, p *port) {
	if len(c.early) == 0 {
		var until time.Time // none
		if idle := p.srv.IdleTimeout; idle > 0 {
			until = time.Now().Add(idle)
		}
		c.SetReadDeadline(until)
		c.waits.Store(true)
		come := !p.draining.Load() && tcp.WaitReadable(c.raw)
		c.waits.Store(false)
		if !come || c.SetReadDeadline(time.Time{}) != nil {
			c.Close()
			return
		}
	}
	select {
	case p.back <- c:
	case <-p.done:
		c.Close()
	}
}
