package weirhttp

import (
	"cmp"
	"context"
	"errors"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"sync"
	"time"

	"golang.org/x/time/rate"

	"github.com/weir-go/weir"
)

// Guard protects a server from slow and greedy clients, and slow clients from
// the server: a client is cut off for what it does not take, never for how long
// an answer takes. The zero Guard is ready to use, with everything on that has a
// default. The fields must not change after Serve.
//
// What a client takes is what it has acknowledged, which the kernel tells on
// Linux (TCP_INFO). Elsewhere it is what the kernel has taken from the server:
// there a slow client with a large send buffer needs a longer Stall.
type Guard struct {
	// Stall is how long a client may take nothing of what waits for it: 60 s
	// if 0, no limit if negative. A client that is cut is cut within Stall and
	// a second. Systems announce room for more in steps of some kilobytes up
	// to a sixteenth of their receive buffer; Stall must be longer than a slow
	// client needs for one.
	//
	// It is also how long the client may send nothing of the body of an HTTP/1
	// request, unless the server has a ReadTimeout or the handler sets a read
	// deadline of its own: net/http reads what the handler has not.
	Stall time.Duration

	// MinRate is how much a client must take on average, and send of a body
	// while it is waited for, in bytes a second: 512 if 0, anything if
	// negative. A client that is faster is never cut, however long it takes.
	MinRate int64

	HeaderTimeout time.Duration // for a request's header; 0: 10 s, negative: none
	IdleTimeout   time.Duration // between two requests; 0: 60 s, negative: none

	MaxConns        int // 0: 10,000, negative: any
	MaxConnsPerAddr int // 0: 512, but any over the loopback; negative: any. For IPv6 an address is a network (/64).

	Rate     int64 // bytes a second in all, sent and received, shared evenly; 0: any
	ConnRate int64 // bytes a second for each connection, sent and received; 0: any

	// Budget, if not nil, is where downloads take their memory from. One that
	// gets none within Queue is answered 503 with Retry-After.
	Budget *weir.Budget
	Queue  time.Duration // 0: 5 s; negative: does not wait

	// Unsent is how many bytes the kernel takes for a connection beyond what
	// is on the wire: 16 KiB if 0, the kernel's own limit (4 MiB on most
	// systems) if negative. It does not hold while a client takes more than
	// some 30 MiB a second: such a client takes what the kernel holds in no
	// time, and costs less if that is more. Linux only.
	Unsent int

	Transfers *Transfers   // nil: DefaultTransfers
	Log       *slog.Logger // refusals and evictions; nil: slog.Default()

	setup sync.Once
	total *rate.Limiter
	blind bool // a test plays a system that does not tell what clients take

	mu    sync.Mutex // guards what follows
	conns int
	addrs map[netip.Addr]int
	ports map[*port]struct{}
	ended bool
}

// Serve serves the connections that l accepts, with srv and under the guard. It
// blocks, and returns the error of srv.Serve when the listener is closed and
// the last connection has gone. If srv.TLSConfig has certificates the
// connections are TLS, with HTTP/2 as srv allows it.
//
// Serve sets what is zero of srv's ReadHeaderTimeout, IdleTimeout,
// MaxHeaderBytes and HTTP2, puts a function around its ConnContext and a handler
// around its Handler, and answers OPTIONS * itself. A WriteTimeout would end every
// long download, and is best left zero. End it with [Guard.Shutdown] or
// [Guard.Close]: Serve returns [http.ErrServerClosed] then. Several servers may
// share a guard, each with a Serve of its own; a server serves one listener.
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
	return p.serve()
}

// prepare fills in what srv leaves open.
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
		// What clients may send before a handler reads is memory.
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
			if c.tcp != nil && !c.port.tls && !c.paced() {
				ctx = ConnContext(ctx, c.tcp) // large uploads go past net/http
			}
		}
		return ctx
	}
}

// inTime gives the bodies of requests to h their time. net/http takes the
// deadline away behind a header, and waits for what a handler has left unread:
// before it answers and, if not then, behind the answer. Its own answer to
// OPTIONS * waits like that, so it is given here.
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

// Shutdown stops accepting connections, closes idle ones, and waits until what
// is on its way has ended. When ctx ends before that, everything is closed and
// the cause of ctx returned. Serve returns too; the guard cannot be used again.
func (g *Guard) Shutdown(ctx context.Context) error {
	ports := g.end()
	errs := make([]error, len(ports))
	var wg sync.WaitGroup
	for i, p := range ports {
		wg.Go(func() { errs[i] = p.shutdown(ctx) })
	}
	wg.Wait()
	return errors.Join(errs...)
}

// Close closes all listeners and connections, and returns when Serve has
// nothing left to wait for but handlers that still run.
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

// admit counts a connection in, or says why it may not come in.
func (g *Guard) admit(c *conn) (refusal string) {
	most := orDefault(g.MaxConns, 10_000)
	each := orDefault(g.MaxConnsPerAddr, 512)
	if g.MaxConnsPerAddr == 0 && c.addr.IsLoopback() {
		each = -1 // a proxy in front of us, most likely
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

// network is what counts as one address: of those of IPv6 a client has as many
// as it likes, within a network.
func network(a netip.Addr) netip.Addr {
	if !a.Is6() || a.IsLoopback() || a.IsLinkLocalUnicast() {
		return a
	}
	return netip.PrefixFrom(a, 64).Masked().Addr()
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

// reserve takes n bytes from the budget, and returns what gives them back.
func (g *Guard) reserve(ctx context.Context, n int64) (release func(), err error) {
	if g == nil || g.Budget == nil || n == 0 {
		return func() {}, nil
	}
	if err := acquire(ctx, g.Budget, g.Queue, n); err != nil {
		return nil, err
	}
	return func() { giveBack(g.Budget, n) }, nil
}

// reserved is memory that one answer has taken from a budget, bit by bit.
type reserved []func()

func (m *reserved) reserve(ctx context.Context, g *Guard, n int64) error {
	release, err := g.reserve(ctx, n)
	if err == nil {
		*m = append(*m, release)
	}
	return err
}

// release gives all of it back.
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

func (g *Guard) unsent() int          { return orDefault(g.Unsent, 16<<10) }
func (g *Guard) stall() time.Duration { return orDefault(g.Stall, time.Minute) }
func (g *Guard) minRate() int64       { return orDefault(g.MinRate, 512) }

// share is the least rate of one of the requests that c carries now, which all
// together are to reach that of a client.
func (g *Guard) share(c *conn) int64 {
	least := g.minRate()
	if c != nil && least > 0 {
		least = max(1, least/max(1, int64(c.requests.Load())))
	}
	return least
}

func (g *Guard) headerTimeout() time.Duration { return orDefault(g.HeaderTimeout, 10*time.Second) }

// idleTimeout is for net/http too, where a negative timeout is none.
func (g *Guard) idleTimeout() time.Duration { return orDefault(g.IdleTimeout, time.Minute) }

func orDefault[T cmp.Ordered](v, def T) T {
	var zero T
	if v == zero {
		return def
	}
	return v
}
