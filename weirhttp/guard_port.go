package weirhttp

import (
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"slices"
	"sync"
	"sync/atomic"
	"time"
)

// port is a listener under a guard, and the connections it has accepted. It is
// the net.Listener of its server: connections come new, or back from a download
// for which they were parked.
type port struct {
	g        *Guard
	srv      *http.Server
	l        net.Listener
	tls      bool
	fresh    chan accepted
	back     chan *conn
	done     chan struct{} // closed when no more connections are taken
	gone     chan struct{} // closed when it is done and has no connection left
	over     chan struct{} // closed when Serve has nothing left to do
	draining atomic.Bool
	quick    atomic.Int32 // connections that the kernel may hold more for
	once     sync.Once
	work     sync.WaitGroup // goroutines of the port
	lot      lot
	refusals chan struct{} // bounds the refusals under way

	mu    sync.Mutex // guards what follows
	conns map[*conn]struct{}
	shut  bool // done is closed
}

type accepted struct {
	c   *conn
	err error
}

func newPort(g *Guard, srv *http.Server, l net.Listener) *port {
	return &port{
		g: g, srv: srv, l: l,
		tls: srv.TLSConfig != nil && (len(srv.TLSConfig.Certificates) > 0 ||
			srv.TLSConfig.GetCertificate != nil || srv.TLSConfig.GetConfigForClient != nil),
		fresh: make(chan accepted), back: make(chan *conn), done: make(chan struct{}),
		gone: make(chan struct{}), over: make(chan struct{}),
		refusals: make(chan struct{}, 64), conns: make(map[*conn]struct{}),
	}
}

// serve runs the server until the last connection has gone.
func (p *port) serve() error {
	defer close(p.over)
	p.lot.open(&p.work)
	p.work.Go(p.accept)
	p.work.Go(p.watch)
	var err error
	if p.tls {
		err = p.srv.ServeTLS(p, "", "")
	} else {
		err = p.srv.Serve(p)
	}
	p.Close()
	<-p.gone
	p.lot.close()
	p.work.Wait()
	return err
}

// accept takes connections from the listener until it is closed.
func (p *port) accept() {
	for {
		nc, err := p.l.Accept()
		var a accepted
		if a.err = err; err == nil {
			if a.c = p.receive(nc); a.c == nil {
				continue
			}
		}
		select {
		case p.fresh <- a:
		case <-p.done:
			if a.c != nil {
				a.c.Close()
			}
			return
		}
	}
}

// receive makes a connection one of the port's, or refuses it and returns nil, as
// it does when the port has been closed meanwhile.
func (p *port) receive(nc net.Conn) *conn {
	c := newConn(p, nc)
	if why := p.g.admit(c); why != "" {
		p.refuse(c, why)
		return nil
	}
	p.mu.Lock()
	shut := p.shut
	if !shut {
		p.conns[c] = struct{}{}
	}
	p.mu.Unlock()
	if shut { // nobody waits for another connection to go
		p.g.dismiss(c)
		c.Close()
		return nil
	}
	if c.tcp != nil {
		// A system without these holds more or is slower; nothing else changes.
		if n := p.g.unsent(); n > 0 {
			_ = limitUnsent(c.raw, n)
		}
		if sameMachine(c.LocalAddr(), c.RemoteAddr()) {
			_ = unpace(c.raw)
		}
	}
	return c
}

// refuse tells a client that there is no room for it, where it can be told
// without TLS.
func (p *port) refuse(c *conn, why string) {
	p.g.log().Warn("connection refused", "client", c.RemoteAddr().String(), "reason", why)
	if c.cancel != nil {
		c.cancel()
	}
	select {
	case p.refusals <- struct{}{}:
	default: // a flood; it is not answered
		c.Conn.Close()
		return
	}
	p.work.Go(func() {
		defer func() { <-p.refusals }()
		defer c.Conn.Close()
		if p.tls {
			return
		}
		c.Conn.SetDeadline(time.Now().Add(time.Second))
		_, err := io.WriteString(c.Conn, "HTTP/1.1 503 Service Unavailable\r\nRetry-After: 5\r\n"+
			"Connection: close\r\nContent-Type: text/plain; charset=utf-8\r\n"+
			"Content-Length: 21\r\n\r\ntoo many connections\n")
		if err == nil && c.CloseWrite() == nil {
			io.CopyN(io.Discard, c.Conn, 64<<10) // a reset would overtake the answer
		}
	})
}

// Accept returns the next connection for the server.
func (p *port) Accept() (net.Conn, error) {
	select {
	case a := <-p.fresh:
		if a.err != nil {
			return nil, a.err
		}
		return a.c, nil
	case c := <-p.back:
		return c, nil
	case <-p.done:
		return nil, net.ErrClosed
	}
}

// Addr returns the listener's address.
func (p *port) Addr() net.Addr { return p.l.Addr() }

// Close stops taking connections. Those that are there stay.
func (p *port) Close() (err error) {
	p.once.Do(func() {
		p.draining.Store(true)
		err = p.l.Close()
		p.mu.Lock()
		p.shut = true
		close(p.done)
		if len(p.conns) == 0 {
			close(p.gone)
		}
		p.mu.Unlock()
		for _, c := range p.list(nil) {
			if c.waits.Load() {
				c.SetReadDeadline(time.Unix(1, 0)) // between two requests
			}
		}
	})
	return err
}

// forget takes a closed connection off the list.
func (p *port) forget(c *conn) {
	p.mu.Lock()
	_, ok := p.conns[c]
	delete(p.conns, c)
	if ok && p.shut && len(p.conns) == 0 {
		close(p.gone)
	}
	p.mu.Unlock()
	if ok {
		p.g.dismiss(c)
	}
}

// start runs f in a goroutine of the port, which waits for it, if c is still
// there.
func (p *port) start(c *conn, f func()) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if _, ok := p.conns[c]; !ok {
		return false
	}
	p.work.Go(f)
	return true
}

// list returns the connections of the port, in the memory of list.
func (p *port) list(list []*conn) []*conn {
	p.mu.Lock()
	defer p.mu.Unlock()
	list = slices.Grow(list[:0], len(p.conns))
	for c := range p.conns {
		list = append(list, c)
	}
	return list
}

// shutdown waits for what is on its way, and closes it when ctx ends.
func (p *port) shutdown(ctx context.Context) error {
	err := p.srv.Shutdown(ctx) // closes the listener, after it has said so to itself
	if err != nil && ctx.Err() != nil {
		err = context.Cause(ctx)
	}
	p.Close()
	if err == nil {
		select {
		case <-p.gone:
		case <-ctx.Done():
			err = context.Cause(ctx)
		}
	}
	if err != nil {
		err = errors.Join(err, p.srv.Close())
		for _, c := range p.list(nil) {
			c.Close()
		}
	}
	<-p.over
	return err
}
