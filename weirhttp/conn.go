package weirhttp

import (
	"bytes"
	"context"
	"errors"
	"fmt"
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
	"github.com/weir-go/weir/weirhttp/internal/meter"
	"github.com/weir-go/weir/weirhttp/internal/tcp"
)

// errSlow is the error of a transfer whose client made too little progress for too long;
// see [Guard]. It matches [weir.ErrStalled].
var errSlow error = slowError{}

type slowError struct{}

func (slowError) Error() string { return "client too slow" }
func (slowError) Unwrap() error { return weir.ErrStalled }

// errLate is the cause when the body of a request arrives below the minimum rate.
var errLate = fmt.Errorf("%w: %w", errSlow, os.ErrDeadlineExceeded)

// connRules are the settings of a Guard that its connections obey. They are shared by
// all connections of a port.
type connRules struct {
	minRate  int64         // bytes a second; 0 or less: none
	connRate int64         // bytes a second for each connection; 0: any
	total    *rate.Limiter // for all connections of the guard; nil: none
	unsent   int           // bytes in the kernel beyond those on the wire; 0 or less: any number
	blind    bool          // a test simulates a platform without TCP_INFO
	quick    atomic.Int32  // connections that are allowed quickUnsent now
}

// connOwner is the port of a connection, as far as the connection knows it.
type connOwner interface {
	// closed is called once, when the connection has been closed.
	closed(*conn)
}

// conn is an accepted connection under a Guard. Either net/http or one parked download
// reads and writes it. The watchdog of the guard looks at it from outside.
type conn struct {
	net.Conn
	tcp   *net.TCPConn // nil: not a TCP connection
	raw   syscall.RawConn
	rules *connRules
	owner connOwner
	addr  netip.Addr

	early  []byte  // read by the server before the connection was parked
	held   *[]byte // a header that waits for the first bytes of its body; nil: none
	closes bool    // the last header held announced the end of the connection

	carries atomic.Pointer[transfer] // the transfer that has the connection to itself

	wrote   atomic.Int64 // bytes given to the kernel
	writing atomic.Int32 // calls that are giving it more
	evicted atomic.Bool

	patience atomic.Int64  // how long a Read can wait, in nanoseconds; 0: until its deadline
	late     time.Duration // how far the client is behind the minimum rate; for the reader only
	heldBack atomic.Int64  // how long a rate limit has held reads back, in nanoseconds
	rated    atomic.Bool   // a rate limit is holding the connection back
	requests atomic.Int32  // requests that handlers are working on
	deadline sync.Mutex    // held while a deadline and patience are set together
	waits    atomic.Bool   // parked, between two requests

	burst   int64 // bytes since burstAt; for the writer only
	burstAt time.Time
	quick   atomic.Bool // the kernel accepts quickUnsent bytes

	pace   *rate.Limiter // nil: no limit for this connection alone
	ctx    context.Context
	cancel context.CancelFunc // ends waits for rate limits; nil: there are none
	once   sync.Once
	gone   atomic.Bool

	watch watchState // for the watchdog only
	place uint64     // in the lot, which guards it; 0: not there yet
}

func newConn(rules *connRules, owner connOwner, nc net.Conn) *conn {
	c := &conn{Conn: nc, rules: rules, owner: owner}
	if c.tcp, _ = nc.(*net.TCPConn); c.tcp != nil {
		c.raw, _ = c.tcp.SyscallConn()
		c.addr = network(c.tcp.RemoteAddr().(*net.TCPAddr).AddrPort().Addr().Unmap())
	}
	if rules.connRate > 0 || rules.total != nil {
		c.ctx, c.cancel = context.WithCancel(context.Background())
		if rules.connRate > 0 {
			c.pace = newLimiter(rules.connRate)
		}
	}
	return c
}

// network returns the address that limits count. An IPv6 client has as many addresses
// as it likes within its /64 network, so that counts as one.
func network(a netip.Addr) netip.Addr {
	if !a.Is6() || a.IsLoopback() || a.IsLinkLocalUnicast() {
		return a
	}
	return netip.PrefixFrom(a, 64).Masked().Addr()
}

type connKey struct{}

// connOf returns the connection of r, nil if it is not under a guard.
func connOf(r *http.Request) *conn {
	c, _ := r.Context().Value(connKey{}).(*conn)
	return c
}

// plainConn returns the connection of r if the bytes of an answer are the bytes on the
// wire: HTTP/1 without TLS, under a guard. Otherwise it returns nil.
func plainConn(r *http.Request) *conn {
	if r.ProtoMajor != 1 || r.TLS != nil {
		return nil
	}
	if c := connOf(r); c != nil && c.tcp != nil {
		return c
	}
	return nil
}

type netConnKey struct{}

// ConnContext is for the field of that name in [http.Server]. With it the kernel moves
// the bytes of large uploads from the connection into the file (splice), which takes
// about half the CPU time of copying them. It does so on Linux, with HTTP/1 and without
// TLS, for a body of known length that needs no digest and that no handler in front has
// wrapped. The server closes the connection after such an upload.
//
//	srv := &http.Server{Handler: mux, ConnContext: weirhttp.ConnContext}
//
// A [Guard] does this by itself.
func ConnContext(ctx context.Context, c net.Conn) context.Context {
	return context.WithValue(ctx, netConnKey{}, c)
}

// netConnOf returns the connection that ConnContext has put into the context of r, nil
// if none.
func netConnOf(r *http.Request) net.Conn {
	c, _ := r.Context().Value(netConnKey{}).(net.Conn)
	return c
}

// rawConn returns the connection of r for system calls, nil if there is none.
func rawConn(r *http.Request) syscall.RawConn {
	if c := connOf(r); c != nil {
		return c.raw
	}
	if sc, ok := netConnOf(r).(syscall.Conn); ok {
		if raw, err := sc.SyscallConn(); err == nil {
			return raw
		}
	}
	return nil
}

// carry connects x with c. x then reports the bytes that the kernel holds back for its
// client, and c reports when a rate limit holds x back. Over HTTP/2 other transfers
// use c too, so c does not report for x.
func (c *conn) carry(x *transfer, r *http.Request) {
	x.over(c)
	if r.ProtoMajor == 1 {
		c.carries.Store(x)
	}
}

// holdup returns the state of c that can hold x up; see carrier.
func (c *conn) holdup(x *transfer) (h holdup) {
	p := c.progress()
	return holdup{unsent: p.unsent, waiting: p.waiting, alone: c.carries.Load() == x, rated: c.rated.Load()}
}

// ended forgets x; see carrier.
func (c *conn) ended(x *transfer) { c.carries.CompareAndSwap(x, nil) }

// Read returns the bytes of early first.
func (c *conn) Read(b []byte) (int, error) {
	if len(c.early) > 0 {
		n := copy(b, c.early)
		if c.early = c.early[n:]; len(c.early) == 0 {
			c.early = nil
		}
		return n, nil
	}
	d, began, err := c.beginRead()
	if err != nil {
		return 0, err
	}
	n, held, err := c.readHeld(b)
	if d <= 0 {
		return n, err
	}
	c.late = behind(c.late, time.Since(began)-held, int64(n), c.rules.minRate)
	if err == nil && c.late >= d {
		err = errLate
	}
	return n, err
}

// setPatience limits each Read to d, or less if the client is below the minimum rate.
// The limit holds until somebody sets a read deadline: net/http does at the end of a
// request's body, and a handler may set its own.
func (c *conn) setPatience(d time.Duration) {
	c.late = 0
	c.patience.Store(int64(d))
}

// beginRead sets the deadline of a Read if there is a patience, and returns that.
func (c *conn) beginRead() (d time.Duration, began time.Time, err error) {
	if c.patience.Load() <= 0 {
		return 0, began, nil
	}
	// SetReadDeadline can run at the same time. Without the lock, our deadline could
	// overwrite the newer one.
	c.deadline.Lock()
	defer c.deadline.Unlock()
	if d = time.Duration(c.patience.Load()); d > 0 {
		began = time.Now()
		err = c.Conn.SetReadDeadline(began.Add(d - c.late))
	}
	return d, began, err
}

// readHeld reads, and then waits until the rate limits allow the bytes it has read. It
// returns how long it waited for them.
func (c *conn) readHeld(b []byte) (n int, held time.Duration, err error) {
	if !c.paced() {
		n, err = c.Conn.Read(b)
		return n, 0, err
	}
	n, err = c.Conn.Read(b[:c.most(int64(len(b)))])
	switch {
	case n <= 0:
	case n < owed && c.owe(n):
	default:
		began := time.Now()
		if werr := c.waitFor(int64(n)); err == nil {
			err = werr
		}
		held = time.Since(began)
		c.heldBack.Add(int64(held))
	}
	return n, held, err
}

// waited is how long rate limits have held back reads of c so far.
func (c *conn) waited() time.Duration {
	if c == nil {
		return 0
	}
	return time.Duration(c.heldBack.Load())
}

// SetReadDeadline sets a deadline and ends the effect of setPatience.
func (c *conn) SetReadDeadline(t time.Time) error {
	c.deadline.Lock()
	defer c.deadline.Unlock()
	c.patience.Store(0)
	return c.Conn.SetReadDeadline(t)
}

// SetDeadline sets both deadlines and ends the effect of setPatience.
func (c *conn) SetDeadline(t time.Time) error {
	c.deadline.Lock()
	defer c.deadline.Unlock()
	c.patience.Store(0)
	return c.Conn.SetDeadline(t)
}

// Write writes b, in pieces if there is a rate limit. It holds back a header that is to
// be sent together with its body.
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

// ReadFrom sends a span, or lets the kernel copy from a file for net/http.
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
	// Where the kernel does not report a client's progress, the writes do. Time spent
	// reading r must not count as the client's then.
	piece := int64(1<<63 - 1)
	if !c.progress().told {
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
		// package net unwraps one LimitedReader only, so there must not be two.
		m, err := c.tcp.ReadFrom(&io.LimitedReader{R: lr.R, N: seg})
		c.wrote.Add(m)
		n, lr.N = n+m, lr.N-m
		if err != nil || m < seg {
			return n, c.cause(err)
		}
	}
	return n, nil
}

// blindPiece is how much is copied at once where only writes are counted.
const blindPiece = 64 << 10

// sendSpan sends the rest of s, behind the header that is held if there is one. It waits
// for the client unless s.try is set. It returns how much of s was sent.
func (c *conn) sendSpan(s *span) (n int64, err error) {
	var head []byte
	h := c.takeHeld()
	if h != nil {
		defer headerBuffers.Put(h)
		head = *h
	}
	if s.f == nil && s.rest == nil {
		return c.sendBody(h, s)
	}
	c.writing.Add(1)
	defer c.writing.Add(-1)
	if !c.paced() {
		n, err = c.sendFile(head, s, s.left)
		return n, c.cause(err)
	}
	// Under a rate limit the connection waits anyway, and need not try.
	n, err = c.sendFile(head, s, 0)
	for s.left > 0 && !s.try && err == nil {
		var seg, m int64
		if seg, err = c.allow(s.left); err == nil {
			m, err = c.sendFile(nil, s, seg)
			n += m
		}
	}
	return n, c.cause(err)
}

// sendBody sends a span that is in memory behind the header h, which can be nil, in one
// write.
func (c *conn) sendBody(h *[]byte, s *span) (int64, error) {
	body, head := s.body, 0
	if h != nil {
		head = len(*h)
		*h = append(*h, body...)
		body = *h
	}
	n, err := c.Write(body)
	sent := int64(max(0, n-head))
	s.advance(sent)
	return sent, err
}

// headerBuffers hold headers, and the small files that follow them.
var headerBuffers = sync.Pool{New: func() any {
	b := make([]byte, 0, smallest+1<<10)
	return &b
}}

// smallest is the largest file that is sent in one write with its header, in bytes.
const smallest = 16 << 10

// holdHeader holds back the header that is written next, until the first bytes of its
// body.
func (c *conn) holdHeader() {
	h := headerBuffers.Get().(*[]byte)
	if cap(*h) > mostHeld { // it has grown; do not keep it
		*h = make([]byte, 0, smallest+1<<10)
	}
	*h = (*h)[:0]
	c.held = h
}

// mostHeld is the longest header that is held, in bytes.
const mostHeld = 32 << 10

// hold holds b if it belongs to a header. Otherwise b is body that middleware has
// copied instead of passing on the span, and hold writes the header.
func (c *conn) hold(b []byte) (held bool, err error) {
	h := c.held
	whole := bytes.HasSuffix(*h, []byte("\r\n\r\n"))
	if !whole && len(*h)+len(b) <= mostHeld {
		*h = append(*h, b...)
		return true, nil
	}
	if err := c.letGo(); err != nil {
		return false, err
	}
	if !whole {
		c.closes = true // the rest of the header may announce the end
	}
	return false, nil
}

// takeHeld returns the header that is held, or nil. The caller must return it to
// headerBuffers.
func (c *conn) takeHeld() *[]byte {
	h := c.held
	if h != nil {
		c.held = nil
		c.closes = announcesClose(*h)
	}
	return h
}

// letGo writes a header that no body has followed.
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

// paced reports whether a rate limit applies to c.
func (c *conn) paced() bool { return c.cancel != nil }

// limits are the rate limits of c. Either can be nil.
func (c *conn) limits() [2]*rate.Limiter { return [...]*rate.Limiter{c.pace, c.rules.total} }

// allow waits until the rate limits allow some of n bytes, and returns how many. The
// caller has counted itself in writing.
func (c *conn) allow(n int64) (int64, error) {
	if !c.paced() {
		return n, nil
	}
	c.writing.Add(-1) // we wait for the rate limit, not for the client
	defer c.writing.Add(1)
	n = c.most(n)
	if x := c.carries.Load(); x != nil {
		was := x.meter.Enter(meter.Rate)
		defer x.meter.Enter(was)
	}
	if err := c.waitFor(n); err != nil {
		return 0, err
	}
	return n, nil
}

// most returns how many of n bytes the rate limits can allow at once.
func (c *conn) most(n int64) int64 {
	for _, l := range c.limits() {
		if l != nil {
			n = min(n, int64(l.Burst()))
		}
	}
	return n
}

// waitFor waits until the rate limits allow n bytes. n must not exceed most(n).
func (c *conn) waitFor(n int64) error {
	c.rated.Store(true)
	defer c.rated.Store(false)
	for _, l := range c.limits() {
		if l == nil {
			continue
		}
		if err := l.WaitN(c.ctx, int(n)); err != nil {
			return net.ErrClosed
		}
	}
	return nil
}

// owed is the size below which a read does not wait for the rate limits: the next read
// waits for it too. The header of a request need not queue then.
const owed = 512

// owe takes n bytes from the rate limits without waiting. It reports false if so much is
// owed already that others are waiting.
func (c *conn) owe(n int) bool {
	for _, l := range c.limits() {
		if l != nil && l.Tokens() < 0 {
			return false
		}
	}
	for _, l := range c.limits() {
		if l != nil {
			l.ReserveN(time.Now(), n)
		}
	}
	return true
}

// newLimiter returns a limiter of perSecond bytes a second, in pieces that are small
// enough for connections to take turns.
func newLimiter(perSecond int64) *rate.Limiter {
	piece := min(max(perSecond/20, 512), 32<<10)
	return rate.NewLimiter(rate.Limit(perSecond), int(piece))
}

// A client that receives quickPiece within quickTime is quick. It empties the
// kernel's buffer at once, so holding more there costs little and wakes the server
// less often. Only a few connections get this: many at a time are faster with small
// pieces, which are still in the processor's cache when the client receives them.
const (
	quickPiece  = 1 << 20
	quickTime   = 32 * time.Millisecond
	quickUnsent = 4 << 20
	quickMost   = 2 // connections of a port at a time
)

// gave counts n bytes as given to the kernel.
func (c *conn) gave(n int64) {
	c.wrote.Add(n)
	if c.burst += n; c.burst < quickPiece {
		return
	}
	now := time.Now()
	if now.Sub(c.burstAt) < quickTime && !c.quick.Load() && c.rules.unsent > 0 && c.tcp != nil {
		if c.rules.quick.Add(1) <= quickMost {
			c.quick.Store(true)
			_ = tcp.LimitUnsent(c.raw, max(quickUnsent, c.rules.unsent))
			if c.gone.Load() {
				// c was closed while we raised the limit, and Close has already run
				// unquick.
				c.unquick()
			}
		} else {
			c.rules.quick.Add(-1)
		}
	}
	c.burst, c.burstAt = 0, now
}

// unquick ends the privilege of a quick client.
func (c *conn) unquick() {
	if c.quick.CompareAndSwap(true, false) {
		c.rules.quick.Add(-1)
	}
}

// slow ends the privilege of a quick client if it received only n bytes in d.
func (c *conn) slow(n int64, d time.Duration) {
	if c.quick.Load() && float64(n)*float64(quickTime) < float64(quickPiece/2)*float64(d) {
		c.unquick()
		_ = tcp.LimitUnsent(c.raw, c.rules.unsent)
	}
}

// progress is how much of the sent data a client has received.
type progress struct {
	taken   int64 // bytes the client has acknowledged
	unsent  int64 // bytes that wait in the kernel
	pending bool  // there are bytes for the client to receive
	waiting bool  // the kernel accepts no more, for now
	told    bool  // the numbers come from the kernel, not from our writes
}

// progress looks at the connection. Any goroutine can call it at any time.
func (c *conn) progress() progress {
	if c.raw != nil && !c.rules.blind {
		if p, ok := tcp.ProgressOf(c.raw); ok {
			return progress{p.Acked, p.Unsent, p.Pending, p.Pending && p.Unsent > 0, true}
		}
	}
	// If the kernel does not tell, the bytes that it has accepted count as received.
	busy := c.writing.Load() > 0
	return progress{taken: c.wrote.Load(), pending: busy, waiting: busy}
}

// watchState is what the watchdog knows about a connection from its last look.
type watchState struct {
	taken int64
	wrote int64
	at    time.Time
	lag   time.Duration // how far the client is behind the minimum rate
	idle  bool          // the client had received everything
}

// lag returns how far the client is behind: how long it has received nothing, or less
// than the minimum rate. Time in which bytes wait for the client adds to its lag, and
// bytes that it receives subtract as much time as the minimum rate allows for them.
// Clients receive in steps; those do not matter if one comes within Stall.
func (c *conn) lag(t time.Time) time.Duration {
	s := &c.watch
	wrote := c.wrote.Load()
	if s.idle && wrote == s.wrote && c.writing.Load() == 0 {
		c.slow(0, t.Sub(s.at)) // make way for other quick clients
		s.at = t
		return 0
	}
	now := c.progress()
	if !s.at.IsZero() {
		c.slow(now.taken-s.taken, t.Sub(s.at))
	}
	return s.step(t, now, wrote, c.rules.minRate)
}

// step updates s with the progress at t and returns the lag.
func (s *watchState) step(t time.Time, now progress, wrote, rate int64) time.Duration {
	span, took := t.Sub(s.at), now.taken-s.taken
	first := s.at.IsZero() || s.idle
	s.at, s.taken, s.wrote = t, now.taken, wrote
	s.idle = !now.pending
	if s.idle || first {
		s.lag = 0
	} else {
		s.lag = behind(s.lag, span, took, rate)
	}
	return s.lag
}

// behind returns how far a client is behind a rate in bytes a second, if it was lag
// behind and then moved n bytes in a span of time.
func behind(lag, span time.Duration, n, rate int64) time.Duration {
	switch {
	case n == 0:
		return lag + span
	case rate <= 0:
		return 0
	}
	// In seconds, since bytes times nanoseconds overflow.
	made := float64(n) / float64(rate)
	return max(0, lag+span-time.Duration(min(made, 1e6)*float64(time.Second)))
}

// share returns the minimum rate for one of the requests that c carries now. All of them
// together must reach the minimum rate of a client.
func (c *conn) share() int64 {
	least := c.rules.minRate
	if least > 0 {
		least = max(1, least/max(1, int64(c.requests.Load())))
	}
	return least
}

// cause returns errSlow for a write that failed because the guard closed the
// connection.
func (c *conn) cause(err error) error {
	if err != nil && c.evicted.Load() {
		return errSlow
	}
	return err
}

// evict closes the connection and drops the data that the kernel holds for it.
func (c *conn) evict() {
	c.evicted.Store(true)
	if c.tcp != nil {
		c.tcp.SetLinger(0) // otherwise the kernel keeps unsent data for minutes
	}
	c.Close()
}

// CloseWrite is for net/http, which ends its side before it closes a connection.
func (c *conn) CloseWrite() error {
	if cw, ok := c.Conn.(interface{ CloseWrite() error }); ok {
		return cw.CloseWrite()
	}
	return errors.ErrUnsupported
}

// Close closes the connection. Calls after the first return net.ErrClosed.
func (c *conn) Close() error {
	err := net.ErrClosed
	c.once.Do(func() {
		if c.cancel != nil {
			c.cancel()
		}
		err = c.Conn.Close()
		c.gone.Store(true)
		c.unquick()
		c.owner.closed(c)
	})
	return err
}

// finish closes a parked connection after its last answer. It reads for a while first:
// if the client has sent more, closing at once would reset the connection, and the reset
// could overtake our answer.
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
