package weirhttp

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"net/netip"
	"os"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"golang.org/x/time/rate"

	"github.com/weir-go/weir"
)

// errSlow is why a transfer ended whose client made too little progress for too
// long; see [Guard]. It matches [weir.ErrStalled].
var errSlow error = slowError{}

type slowError struct{}

func (slowError) Error() string { return "client too slow" }
func (slowError) Unwrap() error { return weir.ErrStalled }

// ErrTruncated is why a download ended whose file became shorter than was promised.
var ErrTruncated = errors.New("the file became shorter while it was sent")

// conn is an accepted connection under a Guard. net/http, or one parked
// download, reads and writes it; the guard looks at it from outside.
type conn struct {
	net.Conn
	tcp  *net.TCPConn // nil: not a TCP connection
	raw  syscall.RawConn
	port *port
	addr netip.Addr

	early  []byte  // was read by the server before the connection was parked
	held   *[]byte // a header that waits for the first bytes of its body; nil: none is held
	closes bool    // the last header held said that the connection ends

	carries atomic.Pointer[transfer] // what goes over it

	wrote   atomic.Int64 // bytes given to the kernel
	writing atomic.Int32 // calls that give it more
	evicted atomic.Bool

	patience atomic.Int64  // how long a Read may wait, in nanoseconds; 0: as its deadline says
	late     time.Duration // how far its client is behind the least rate meanwhile; the reader's
	heldBack atomic.Int64  // how long reads were held back by a rate, in nanoseconds
	rated    atomic.Bool   // a rate is waited for
	requests atomic.Int32  // that handlers are busy with
	deadline sync.Mutex    // is held while one is set, together with patience
	waits    atomic.Bool   // parked, between two requests

	burst   int64 // bytes since burstAt; the writer's
	burstAt time.Time
	quick   atomic.Bool // the kernel may hold more for it, as it takes it quickly

	pace   *rate.Limiter // nil: no limit of its own
	ctx    context.Context
	cancel context.CancelFunc // ends waits of the limiters; nil without limits
	once   sync.Once
	closed atomic.Bool

	watch watchState // the watchdog's
	place uint64     // in the lot, which guards it; 0: it has not been there
}

type connKey struct{}

// connOf returns the connection of r if it is under a guard.
func connOf(r *http.Request) *conn {
	c, _ := r.Context().Value(connKey{}).(*conn)
	return c
}

// guard returns the guard that c is under, nil if c is nil.
func (c *conn) guard() *Guard {
	if c == nil {
		return nil
	}
	return c.port.g
}

// plainConn returns the connection of r if the bytes of an answer are those on
// the wire: HTTP/1 without TLS, under a guard.
func plainConn(r *http.Request) *conn {
	if r.ProtoMajor != 1 || r.TLS != nil {
		return nil
	}
	if c := connOf(r); c != nil && c.tcp != nil {
		return c
	}
	return nil
}

func newConn(p *port, nc net.Conn) *conn {
	c := &conn{Conn: nc, port: p}
	if c.tcp, _ = nc.(*net.TCPConn); c.tcp != nil {
		c.raw, _ = c.tcp.SyscallConn()
		c.addr = network(c.tcp.RemoteAddr().(*net.TCPAddr).AddrPort().Addr().Unmap())
	}
	if g := p.g; g.ConnRate > 0 || g.total != nil {
		c.ctx, c.cancel = context.WithCancel(context.Background())
		if g.ConnRate > 0 {
			c.pace = newLimiter(g.ConnRate)
		}
	}
	return c
}

// Read reads what was read early first.
func (c *conn) Read(b []byte) (int, error) {
	if len(c.early) > 0 {
		n := copy(b, c.early)
		if c.early = c.early[n:]; len(c.early) == 0 {
			c.early = nil
		}
		return n, nil
	}
	return c.read(b)
}

// Write writes b, in pieces if a rate is set. A header that should leave
// together with its body is held.
func (c *conn) Write(b []byte) (n int, err error) {
	if c.held != nil {
		if held, err := c.hold(b); err != nil {
			return 0, err
		} else if held {
			return len(b), nil
		}
	}
	c.writing.Add(1)
	defer c.writing.Add(-1)
	for len(b) > 0 && err == nil {
		var seg int64
		if seg, err = c.allow(int64(len(b))); err != nil {
			break
		}
		var m int
		m, err = c.Conn.Write(b[:seg])
		c.gave(int64(m))
		n += m
		b = b[m:]
	}
	return n, c.cause(err)
}

// ReadFrom keeps the kernel's copy from a file to the socket for net/http.
func (c *conn) ReadFrom(r io.Reader) (n int64, err error) {
	if s, ok := r.(*span); ok {
		return c.sendSpan(s)
	}
	if err := c.letGo(); err != nil {
		return 0, err
	}
	lr, ok := r.(*io.LimitedReader)
	if !ok {
		lr = &io.LimitedReader{R: r, N: 1<<63 - 1}
	}
	// Where the kernel does not tell what a client takes, writes do, and the
	// time for which r is waited for must not count as the client's.
	piece := int64(1<<63 - 1)
	if !c.told() {
		piece = blindPiece
		if _, file := lr.R.(*os.File); !file || c.tcp == nil {
			return io.Copy(struct{ io.Writer }{c}, r)
		}
	}
	c.writing.Add(1)
	defer c.writing.Add(-1)
	if !c.paced() && piece >= lr.N {
		n, err = c.tcp.ReadFrom(r)
		c.wrote.Add(n)
		return n, c.cause(err)
	}
	for lr.N > 0 {
		seg, err := c.allow(min(lr.N, piece))
		if err != nil {
			return n, c.cause(err)
		}
		// The kernel's copy is lost behind two limits, so there is one.
		m, err := c.tcp.ReadFrom(&io.LimitedReader{R: lr.R, N: seg})
		c.wrote.Add(m)
		n, lr.N = n+m, lr.N-m
		if err != nil || m < seg {
			return n, c.cause(err)
		}
	}
	return n, nil
}

// headerBuffers are for headers, and for small files behind them.
var headerBuffers = sync.Pool{New: func() any {
	b := make([]byte, 0, smallest+1<<10)
	return &b
}}

// takeHeld returns the header that was held, or nil. It is to be given back to
// headerBuffers.
func (c *conn) takeHeld() *[]byte {
	h := c.held
	if h != nil {
		c.held = nil
		c.closes = bytes.Contains(*h, []byte("\r\nConnection: close\r\n"))
	}
	return h
}

// letGo writes a header that nothing has followed.
func (c *conn) letGo() error {
	h := c.takeHeld()
	if h == nil {
		return nil
	}
	defer headerBuffers.Put(h)
	if len(*h) == 0 {
		return nil
	}
	_, err := c.Write(*h)
	return err
}

// cause says why a write failed where the guard knows better.
func (c *conn) cause(err error) error {
	if err != nil && c.evicted.Load() {
		return errSlow
	}
	return err
}

// evict ends the connection and drops what the kernel holds for it.
func (c *conn) evict() {
	c.evicted.Store(true)
	if c.tcp != nil {
		c.tcp.SetLinger(0) // or else the kernel keeps what nobody takes for minutes
	}
	c.Close()
}

// CloseWrite is for net/http, which tells clients the end before it closes.
func (c *conn) CloseWrite() error {
	if cw, ok := c.Conn.(interface{ CloseWrite() error }); ok {
		return cw.CloseWrite()
	}
	return errors.ErrUnsupported
}

// Close closes the connection once.
func (c *conn) Close() error {
	err := net.ErrClosed
	c.once.Do(func() {
		if c.cancel != nil {
			c.cancel()
		}
		err = c.Conn.Close()
		c.closed.Store(true)
		c.unquick()
		c.port.lot.leave(c)
		c.port.forget(c)
	})
	return err
}

// await waits between two requests of a parked connection, and hands it back
// to the server when the next one comes.
func (c *conn) await() {
	if len(c.early) == 0 {
		var until time.Time // none
		if idle := c.port.srv.IdleTimeout; idle > 0 {
			until = time.Now().Add(idle)
		}
		c.SetReadDeadline(until)
		c.waits.Store(true)
		come := !c.port.draining.Load() && c.readable()
		c.waits.Store(false)
		if !come || c.SetReadDeadline(time.Time{}) != nil {
			c.Close()
			return
		}
	}
	select {
	case c.port.back <- c:
	case <-c.port.done:
		c.Close()
	}
}

// progress is what is known of how a client takes what it is sent.
type progress struct {
	taken   int64 // bytes the client has acknowledged
	unsent  int64 // bytes that wait in the kernel
	pending bool  // there is something for the client to take
	waiting bool  // nothing more can be given to the kernel, for now
	told    bool  // by the kernel
}

// progress looks at the connection. It may be called at any time.
func (c *conn) progress() progress {
	if c.raw != nil && !c.port.g.blind {
		if p, ok := tcpProgress(c.raw); ok {
			p.waiting, p.told = p.pending && p.unsent > 0, true
			return p
		}
	}
	// Without the kernel's word, what it has taken counts as taken.
	busy := c.writing.Load() > 0
	return progress{taken: c.wrote.Load(), pending: busy, waiting: busy}
}

// finish closes a parked connection after its last answer. The client may have
// sent more, for which a reset would be the answer, and could overtake ours.
func (c *conn) finish() {
	if c.CloseWrite() == nil {
		c.SetReadDeadline(time.Now().Add(500 * time.Millisecond))
		var b [512]byte
		for range 128 {
			if _, err := c.Conn.Read(b[:]); err != nil {
				break
			}
		}
	}
	c.Close()
}
