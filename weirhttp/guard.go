package weirhttp

import (
	"cmp"
	"context"
	"errors"
	"io"
	"log/slog"
	"maps"
	"net"
	"net/http"
	"net/netip"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/time/rate"

	"github.com/weir-go/weir"
	"github.com/weir-go/weir/weirhttp/internal/budget"
	"github.com/weir-go/weir/weirhttp/internal/tcp"
)

// Guard disconnects clients that stop making progress and limits how much any client
// can use. It judges progress, not duration: a client that stays above MinRate is never
// disconnected. The zero Guard is ready to use, with all defaults on. The fields must
// not change after Serve.
//
// On Linux, a client's progress is the number of bytes that it has acknowledged
// (TCP_INFO). Elsewhere it is the number of bytes that the kernel has accepted from the
// server. A slow client with a large send buffer needs a longer Stall there.
type Guard struct {
	// Stall is the longest time a client can make no progress. Zero means 60 s;
	// negative disables the check. The guard disconnects the client within Stall and
	// a second. Clients announce free space in steps of some kilobytes up to a
	// sixteenth of their receive buffer; Stall must be longer than a slow client
	// needs for one step.
	//
	// Stall is also the longest time a client can send nothing of the body of an
	// HTTP/1 request, including the rest that the handler leaves unread, which
	// net/http reads. It does not apply to bodies if the server has a ReadTimeout or
	// the handler sets a read deadline.
	Stall time.Duration

	// MinRate is the minimum average transfer rate in bytes a second, for answers and
	// for request bodies. Zero means 512; negative disables the check. A faster client
	// is never disconnected, however long its transfer takes.
	MinRate int64

	HeaderTimeout time.Duration // for the header of a request; 0: 10 s, negative: none
	IdleTimeout   time.Duration // between two requests; 0: 60 s, negative: none

	MaxConns        int // 0: 10,000, negative: no limit
	MaxConnsPerAddr int // 0: 512, but no limit over the loopback; negative: no limit. An IPv6 /64 network counts as one address.

	Rate     int64 // bytes a second in all, sent and received, shared evenly; 0: no limit
	ConnRate int64 // bytes a second for each connection, sent and received; 0: no limit

	// Budget, if not nil, provides the memory of downloads. A download that gets none
	// within Queue is answered with 503 and Retry-After.
	Budget *weir.Budget
	Queue  time.Duration // 0: 5 s; negative: do not wait

	// Unsent is how many bytes the kernel accepts for a connection beyond those on
	// the wire. Zero means 16 KiB; negative leaves the limit of the kernel, 4 MiB on
	// most systems. A client that receives more than about 30 MiB a second gets more,
	// since it empties the queue at once and is served with fewer wake-ups. Linux
	// only.
	Unsent int

	Transfers *Transfers   // nil: DefaultTransfers
	Log       *slog.Logger // for refused and disconnected clients; nil: slog.Default()

	setup sync.Once
	total *rate.Limiter
	blind bool          // a test simulates a platform without TCP_INFO
	last  time.Duration // for handlers to return; 0: lastWords

	mu    sync.Mutex // guards the fields below
	conns int
	addrs map[netip.Addr]int
	ports map[*port]struct{}
	ended bool
	kept  map[any]func() // see keep
}

// Serve serves the connections that l accepts, with srv and under the guard. It blocks
// until the listener is closed, the last connection has ended, and all handlers have
// returned, and returns the error of srv.Serve. After [Guard.Shutdown] has closed the
// connections, Serve waits for their handlers for half a second at most. If srv.TLSConfig
// has certificates, Serve uses TLS, with HTTP/2 as srv allows it.
//
// Serve sets ReadHeaderTimeout, IdleTimeout, MaxHeaderBytes and HTTP2 of srv where they
// are zero. It wraps ConnContext and Handler, and answers OPTIONS * itself. Leave
// WriteTimeout zero: it would end every long download. Stop serving with
// [Guard.Shutdown] or [Guard.Close]; Serve then returns [http.ErrServerClosed]. Several
// servers can share a guard, each with its own call of Serve. A server serves one
// listener.
func (g *Guard) Serve(srv *http.Server, l net.Listener) error {
	g.setup.Do(func() {
		if g.Rate > 0 {
			g.total = newLimiter(g.Rate)
		}
	})
	p := newPort(g, srv, l)
	if !g.enter(p) {
		l.Close()
		return http.ErrServerClosed
	}
	defer g.leave(p)
	g.prepare(srv)
	srv.Handler = p.counts(srv.Handler)
	return p.serve()
}

// prepare sets the fields of srv that are zero.
func (g *Guard) prepare(srv *http.Server) {
	if srv.ReadHeaderTimeout == 0 {
		srv.ReadHeaderTimeout = g.headerTimeout()
	}
	if srv.IdleTimeout == 0 {
		srv.IdleTimeout = g.idleTimeout()
	}
	if srv.MaxHeaderBytes == 0 {
		srv.MaxHeaderBytes = 64 << 10
	}
	if srv.HTTP2 == nil {
		// Bytes that clients send before a handler reads them take memory.
		srv.HTTP2 = &http.HTTP2Config{
			MaxConcurrentStreams:          100,
			MaxReceiveBufferPerConnection: 256 << 10,
			MaxReceiveBufferPerStream:     128 << 10,
			SendPingTimeout:               30 * time.Second,
			PingTimeout:                   15 * time.Second,
		}
	}
	if stall := g.stall(); stall >= 0 && srv.ReadTimeout <= 0 {
		srv.Handler = inTime(srv.Handler, stall, !srv.DisableGeneralOptionsHandler)
		srv.DisableGeneralOptionsHandler = true
	}
	next := srv.ConnContext
	srv.ConnContext = func(ctx context.Context, nc net.Conn) context.Context {
		if next != nil {
			ctx = next(ctx, nc)
		}
		if t, ok := nc.(interface{ NetConn() net.Conn }); ok {
			nc = t.NetConn()
		}
		if c, ok := nc.(*conn); ok {
			ctx = context.WithValue(withTransfers(ctx, g.transfers()), connKey{}, c)
			if c.tcp != nil && !portOf(c).tls && !c.paced() {
				ctx = ConnContext(ctx, c.tcp) // for large uploads
			}
		}
		return ctx
	}
}

// inTime limits how long the bodies of requests to h can stall. net/http removes the
// deadline after a header, and reads the rest that a handler leaves unread, before or
// after the answer. It does that for its own answer to OPTIONS * too, so inTime
// answers that.
func inTime(h http.Handler, stall time.Duration, options bool) http.Handler {
	if h == nil {
		h = http.DefaultServeMux
	}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if c := connOf(r); c != nil {
			c.requests.Add(1)
			defer c.requests.Add(-1)
			if r.ProtoMajor == 1 && r.ContentLength != 0 {
				c.setPatience(stall)
			}
		}
		if options && r.RequestURI == "*" && r.Method == http.MethodOptions {
			w.Header().Set("Content-Length", "0")
			return
		}
		h.ServeHTTP(w, r)
	})
}

// Shutdown stops accepting connections, closes idle ones, and waits for running requests
// and transfers. If ctx ends first, Shutdown closes all connections, gives the handlers
// half a second to return, and returns the cause of ctx. Serve returns in either case. The
// guard cannot be used again.
func (g *Guard) Shutdown(ctx context.Context) error {
	ports := g.end()
	errs := make([]error, len(ports))
	var wg sync.WaitGroup
	for i, p := range ports {
		wg.Go(func() { errs[i] = p.shutdown(ctx) })
	}
	wg.Wait()
	g.spare()
	return errors.Join(errs...)
}

// Close closes all listeners and connections. It returns when all handlers have returned,
// or after half a second.
func (g *Guard) Close() error {
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if err := g.Shutdown(ctx); !errors.Is(err, context.Canceled) {
		return err
	}
	return nil
}

func (g *Guard) end() []*port {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.ended = true
	ports := make([]*port, 0, len(g.ports))
	for p := range g.ports {
		ports = append(ports, p)
	}
	return ports
}

func (g *Guard) enter(p *port) bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.ended {
		return false
	}
	if g.ports == nil {
		g.ports = make(map[*port]struct{})
	}
	g.ports[p] = struct{}{}
	return true
}

func (g *Guard) leave(p *port) {
	g.mu.Lock()
	defer g.mu.Unlock()
	delete(g.ports, p)
}

// admit counts a new connection, or returns why it is refused.
func (g *Guard) admit(c *conn) (refusal string) {
	most := cmp.Or(g.MaxConns, 10_000)
	each := cmp.Or(g.MaxConnsPerAddr, 512)
	if g.MaxConnsPerAddr == 0 && c.addr.IsLoopback() {
		each = -1 // most likely a proxy in front of us
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	switch {
	case most >= 0 && g.conns >= most:
		return "too many connections"
	case each >= 0 && c.addr.IsValid() && g.addrs[c.addr] >= each:
		return "too many connections from one address"
	}
	g.conns++
	if c.addr.IsValid() {
		if g.addrs == nil {
			g.addrs = make(map[netip.Addr]int)
		}
		g.addrs[c.addr]++
	}
	return ""
}

func (g *Guard) dismiss(c *conn) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.conns--
	if n := g.addrs[c.addr]; n > 1 {
		g.addrs[c.addr] = n - 1
	} else {
		delete(g.addrs, c.addr)
	}
}

// reserve takes n bytes from the budget. release returns them.
func (g *Guard) reserve(ctx context.Context, n int64) (release func(), err error) {
	if g == nil || g.Budget == nil || n == 0 {
		return func() {}, nil
	}
	if !budget.TryAcquire(g.Budget, n) {
		g.spare()
		if err := budget.Acquire(ctx, g.Budget, g.Queue, n); err != nil {
			return nil, err
		}
	}
	return func() { budget.Release(g.Budget, n) }, nil
}

// keep registers a function that returns memory to the budget which owner holds only
// because it may be of use later. The guard calls it when memory is short, and at its
// end. unkeep removes it.
func (g *Guard) keep(owner any, giveBack func()) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.kept == nil {
		g.kept = make(map[any]func())
	}
	g.kept[owner] = giveBack
}

func (g *Guard) unkeep(owner any) {
	g.mu.Lock()
	defer g.mu.Unlock()
	delete(g.kept, owner)
}

// spare returns the memory that nothing needs now.
func (g *Guard) spare() {
	g.mu.Lock()
	kept := slices.Collect(maps.Values(g.kept))
	g.mu.Unlock()
	for _, giveBack := range kept {
		giveBack()
	}
}

// reserved is the memory that one answer has taken from a budget, in several steps.
type reserved []func()

func (m *reserved) reserve(ctx context.Context, g *Guard, n int64) error {
	release, err := g.reserve(ctx, n)
	if err == nil {
		*m = append(*m, release)
	}
	return err
}

// release returns all of it.
func (m *reserved) release() {
	for _, f := range *m {
		f()
	}
	*m = nil
}

func (g *Guard) transfers() *Transfers {
	if g.Transfers != nil {
		return g.Transfers
	}
	return &DefaultTransfers
}

func (g *Guard) log() *slog.Logger {
	if g.Log != nil {
		return g.Log
	}
	return slog.Default()
}

func (g *Guard) unsent() int { return cmp.Or(g.Unsent, 16<<10) }

func (g *Guard) stall() time.Duration { return cmp.Or(g.Stall, time.Minute) }

func (g *Guard) minRate() int64 { return cmp.Or(g.MinRate, 512) }

func (g *Guard) headerTimeout() time.Duration { return cmp.Or(g.HeaderTimeout, 10*time.Second) }

// idleTimeout also fits net/http, where a negative timeout means none.
func (g *Guard) idleTimeout() time.Duration { return cmp.Or(g.IdleTimeout, time.Minute) }

// guardOf returns the guard of the server of r, nil if it has none.
func guardOf(r *http.Request) *Guard {
	if c := connOf(r); c != nil {
		return portOf(c).g
	}
	return nil
}

// portOf returns the port that accepted c.
func portOf(c *conn) *port { return c.owner.(*port) }

// port is a listener under a guard and the connections it has accepted. It is the
// net.Listener of its server, and returns new connections as well as those that were
// parked for a download.
type port struct {
	rules    connRules
	g        *Guard
	srv      *http.Server
	l        net.Listener
	tls      bool
	fresh    chan accepted
	back     chan *conn
	done     chan struct{} // closed when the port accepts no more connections
	gone     chan struct{} // closed when done is, and the last connection has ended
	cut      chan struct{} // closed when shutdown has closed the connections
	cutOnce  sync.Once
	over     chan struct{} // closed when serve returns
	draining atomic.Bool
	handlers atomic.Int64  // that run
	rested   chan struct{} // gets a value when the last handler has returned while draining
	once     sync.Once
	work     sync.WaitGroup // goroutines of the port
	lot      lot
	refusals chan struct{} // limits the refusals under way

	mu    sync.Mutex // guards the fields below
	conns map[*conn]struct{}
	shut  bool // done is closed
}

type accepted struct {
	c   *conn
	err error
}

func newPort(g *Guard, srv *http.Server, l net.Listener) *port {
	p := &port{
		g: g, srv: srv, l: l,
		tls: srv.TLSConfig != nil && (len(srv.TLSConfig.Certificates) > 0 ||
			srv.TLSConfig.GetCertificate != nil || srv.TLSConfig.GetConfigForClient != nil),
		fresh: make(chan accepted), back: make(chan *conn), done: make(chan struct{}),
		gone: make(chan struct{}), cut: make(chan struct{}), over: make(chan struct{}), rested: make(chan struct{}, 1),
		refusals: make(chan struct{}, 64), conns: make(map[*conn]struct{}),
	}
	p.rules.minRate, p.rules.connRate, p.rules.total = g.minRate(), g.ConnRate, g.total
	p.rules.unsent, p.rules.blind = g.unsent(), g.blind
	return p
}

// serve runs the server until the last connection has ended.
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
	if !errors.Is(err, http.ErrServerClosed) { // the listener has failed, and nobody may call shutdown
		p.cutOnce.Do(func() { close(p.cut) })
	}
	p.rest()
	return err
}

// counts counts the handlers that run h. net/http does not wait for handlers whose
// connection it has closed, nor for those of HTTP/2 whose stream the client has reset.
func (p *port) counts(h http.Handler) http.Handler {
	if h == nil {
		h = http.DefaultServeMux
	}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		p.handlers.Add(1)
		defer func() {
			if p.handlers.Add(-1) == 0 && p.draining.Load() {
				select {
				case p.rested <- struct{}{}:
				default: // one value is enough: rest looks at the count again
				}
			}
		}()
		h.ServeHTTP(w, r)
	})
}

// lastWords is how long handlers have to return after shutdown has closed their
// connections. Most need none of it: their next Read or Write fails.
const lastWords = 500 * time.Millisecond

// rest waits until no handler runs, so that whatever a handler does last, as to log its
// request, is done before serve returns. The port has been closed.
func (p *port) rest() {
	cut, late := p.cut, (<-chan time.Time)(nil)
	for p.handlers.Load() > 0 {
		select {
		case <-p.rested:
		case <-cut:
			cut, late = nil, time.After(cmp.Or(p.g.last, lastWords))
		case <-late:
			return
		}
	}
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

// receive adds a connection to the port. It returns nil if it has refused the connection
// or if the port has been closed.
func (p *port) receive(nc net.Conn) *conn {
	c := newConn(&p.rules, p, nc)
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
	if shut { // serve does not wait for connections that come now
		p.g.dismiss(c)
		c.Close()
		return nil
	}
	if c.tcp != nil {
		// Without these options the kernel holds more or is slower; nothing else changes.
		if n := p.g.unsent(); n > 0 {
			_ = tcp.LimitUnsent(c.raw, n)
		}
		if tcp.SameMachine(c.LocalAddr(), c.RemoteAddr()) {
			_ = tcp.Unpace(c.raw)
		}
	}
	return c
}

// refuse closes a connection that the limits do not allow. Without TLS it answers 503
// first.
func (p *port) refuse(c *conn, why string) {
	p.g.log().Warn("connection refused", "client", c.RemoteAddr().String(), "reason", why)
	if c.cancel != nil {
		c.cancel()
	}
	select {
	case p.refusals <- struct{}{}:
	default: // too many at a time: close without an answer
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
			io.CopyN(io.Discard, c.Conn, 64<<10) // a reset could overtake the answer
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

// Close stops accepting connections. Open connections stay.
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

// closed removes a closed connection; see connOwner.
func (p *port) closed(c *conn) {
	p.lot.leave(c)
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

// start runs f in a goroutine that serve waits for. It reports false if c has been
// closed.
func (p *port) start(c *conn, f func()) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if _, ok := p.conns[c]; !ok {
		return false
	}
	p.work.Go(f)
	return true
}

// list returns the connections of the port. It reuses the memory of list.
func (p *port) list(list []*conn) []*conn {
	p.mu.Lock()
	defer p.mu.Unlock()
	list = slices.Grow(list[:0], len(p.conns))
	for c := range p.conns {
		list = append(list, c)
	}
	return list
}

// shutdown waits for the connections and handlers to end, and closes the connections when
// ctx ends.
func (p *port) shutdown(ctx context.Context) error {
	err := p.srv.Shutdown(ctx) // closes the listener, and first notes that it is shutting down
	if err != nil && ctx.Err() != nil {
		err = context.Cause(ctx)
	}
	p.Close()
	if err == nil {
		select {
		case <-p.over:
			return nil
		case <-ctx.Done():
			err = context.Cause(ctx)
		}
	}
	err = errors.Join(err, p.srv.Close())
	for _, c := range p.list(nil) {
		c.Close()
	}
	p.cutOnce.Do(func() { close(p.cut) })
	<-p.over
	return err
}

// watch looks at all connections until the last one has ended, and disconnects clients
// that are too slow.
func (p *port) watch() {
	stall := p.g.stall()
	if stall < 0 {
		<-p.gone
		return
	}
	// The guard promises to disconnect within a second after Stall. One look can be
	// late in noticing that a stall begins, another one that it has lasted long enough.
	every := min(max(stall/8, 10*time.Millisecond), 400*time.Millisecond)
	tick := time.NewTicker(every)
	defer tick.Stop()
	clock := watchClock{most: 2 * every}
	var conns []*conn
	for {
		select {
		case <-p.gone:
			return
		case t := <-tick.C:
			conns = p.list(conns)
			now := clock.now(t)
			for _, c := range conns {
				if c.lag(now) >= stall {
					path := ""
					if x := c.carries.Load(); x != nil {
						path = x.name()
					}
					p.g.log().Warn("client disconnected", "client", c.RemoteAddr().String(), "path", path, "reason", errSlow.Error(),
						"stall", stall, "min_rate", p.g.minRate())
					c.evict()
				}
			}
			clear(conns) // do not keep closed connections alive
		}
	}
}

// watchClock is the clock of the watchdog. It stands still while the process does (stopped
// by a signal, or on a machine that is suspended or overloaded): no client could make
// progress then.
type watchClock struct {
	most time.Duration // that can pass between two looks
	last time.Time     // the look before, by the clock of the machine
	at   time.Time     // and by this one
}

// now returns the time of a look that is at t by the clock of the machine.
func (k *watchClock) now(t time.Time) time.Time {
	if k.last.IsZero() {
		k.at = t
	} else {
		k.at = k.at.Add(min(t.Sub(k.last), k.most))
	}
	k.last = t
	return k.at
}
