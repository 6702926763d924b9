package weirhttp

import (
	"cmp"
	"context"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"runtime/debug"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/weir-go/weir"
	"github.com/weir-go/weir/compress"
	"github.com/weir-go/weir/weirhttp/internal/budget"
	"github.com/weir-go/weir/weirhttp/internal/encoder"
	"github.com/weir-go/weir/weirhttp/internal/negotiate"
)

// Response says how to send a stream as an answer. [Respond] uses the zero Response.
type Response struct {
	Type string // Content-Type; "": the one in w's header, or guessed from the first bytes
	Name string // the name of the transfer; "": the request's path

	// Size is the length of the whole stream in bytes, before compression. If it is zero,
	// the length is the Content-Length in w's header, or unknown if there is none. A
	// stream of another length breaks the connection. If nothing has been sent yet, the
	// status is 500.
	Size int64

	// Plain sends the stream as it is. Otherwise the stream is compressed with zstd or
	// gzip if the client accepts that, content of its type usually gets smaller, and
	// w's header has no Content-Encoding.
	Plain bool

	// Flush is how long bytes can wait for more bytes before they are sent. Zero means
	// 50 ms. If it is negative they wait until a buffer is full, which compresses a
	// little better and is best for a stream that does not pause.
	Flush time.Duration

	// Limit is the limit of the flow's pipes. The default is 64 KiB.
	Limit weir.Limit
}

// Respond answers r with the bytes of s. It blocks until they are sent.
//
// The header of the answer is sent with the first byte. An error before that is answered
// with a status: 404 for fs.ErrNotExist, 403 for fs.ErrPermission, 500 otherwise. A later
// error breaks the connection with a panic of [http.ErrAbortHandler], so that no client
// mistakes a part for the whole. If the client disconnects, the flow ends at once.
//
// Fields that are set in w's header stay. Under a [Guard] the memory of the flow comes
// from its Budget. If there is none in time, the answer is 503.
func Respond(w http.ResponseWriter, r *http.Request, s weir.Stream[byte]) {
	Response{}.Send(w, r, s)
}

// Send is Respond with the settings of p.
func (p Response) Send(w http.ResponseWriter, r *http.Request, s weir.Stream[byte]) {
	if p.Name == "" {
		p.Name = r.URL.Path
	}
	c := newClient(w, r, p)
	if c.coding = c.choose(); c.coding != "" && p.Flush < 0 {
		// Nothing needs to be flushed, so a stage of the flow can compress. After
		// that, the length of the stream is unknown.
		if n := c.length.want; n > 0 {
			s = s.Through(lengthStage(n))
			c.length.want = 0
		}
		if c.coding == "zstd" {
			s = s.Through(compress.Zstd(compress.Workers(1)))
		} else {
			s = s.Through(compress.Gzip(compress.Workers(1)))
		}
	}
	f := s.To(weir.Sink[byte]{Name: "client", Open: c.open})
	f.Name, f.Limit = p.Name, p.Limit
	if p.Limit == (weir.Limit{}) {
		f.Limit = weir.Bytes(64 << 10)
	}
	err := c.run(f)
	switch {
	case err == nil:
	case c.begun, r.Context().Err() != nil:
		if p := (*weir.PanicError)(nil); errors.As(err, &p) {
			logOf(c.guard).Error("answer aborted", "path", r.URL.Path, "client", r.RemoteAddr, "error", err, "stack", string(p.Stack))
		}
		panic(http.ErrAbortHandler)
	default:
		c.fail(err)
	}
}

func logOf(g *Guard) *slog.Logger {
	if g != nil {
		return g.log()
	}
	return slog.Default()
}

// errLength is the cause when a stream is shorter or longer than announced.
var errLength = errors.New("stream does not have the announced length")

// length checks that a stream has the announced length.
type length struct {
	want int64 // 0: not announced
	n    int64 // bytes so far
}

// add counts a chunk of n bytes, before anybody writes it.
func (l *length) add(n int) error {
	if l.n += int64(n); l.want > 0 && l.n > l.want {
		return errLength
	}
	return nil
}

// end checks that a stream that has ended was not too short.
func (l *length) end() error {
	if l.want > 0 && l.n != l.want {
		return errLength
	}
	return nil
}

// lengthStage fails unless exactly n bytes pass it.
func lengthStage(n int64) weir.Stage[byte, byte] {
	return weir.DoWith("length", func(context.Context) (*length, error) { return &length{want: n}, nil },
		func(_ context.Context, l *length, in []byte, emit func([]byte) error) error {
			if err := l.add(len(in)); err != nil {
				return err
			}
			return emit(in)
		},
		func(_ context.Context, l *length, _ func([]byte) error) error { return l.end() })
}

// declared returns the length in a header, 0 if it has none.
func declared(h http.Header) int64 {
	n, err := strconv.ParseInt(h.Get("Content-Length"), 10, 64)
	if err != nil {
		return 0
	}
	return max(n, 0)
}

// client is the answer to a request as the sink of a flow.
type client struct {
	w     http.ResponseWriter
	r     *http.Request
	p     Response
	guard *Guard
	ctl   *http.ResponseController
	wire  *rolling
	x     *transfer
	ctx   context.Context // of the flow

	// mu guards the fields below. The flow and a flush hold it while they wait for the
	// client, so that they take turns.
	mu     sync.Mutex
	coding string // of the answer; "": none
	enc    encoder.Encoder
	length length // of the stream, unless a stage checks it
	begun  bool   // the header has been sent
	armed  bool   // a flush is scheduled
	whole  bool   // the answer is complete
	closed bool
	err    error // of a flush

	timer   *time.Timer
	flushes sync.WaitGroup
	closing atomic.Bool // Close interrupts a flush
	stop    func(error) // ends the flow
}

func newClient(w http.ResponseWriter, r *http.Request, p Response) *client {
	if p.Size == 0 {
		p.Size = declared(w.Header())
	}
	c := &client{w: w, r: r, p: p, ctl: http.NewResponseController(w), guard: guardOf(r), length: length{want: p.Size}}
	c.wire = newRolling(w, r, c.guard)
	c.wire.over = c.over
	c.wire.rest() // the stream can take long to begin
	return c
}

// begin sends the header of an answer that begins with chunk.
func (c *client) begin(chunk []byte) {
	c.begun = true
	h := c.w.Header()
	t := c.p.Type
	if t == "" {
		t = h.Get("Content-Type")
	}
	if t == "" {
		t = http.DetectContentType(chunk)
		if !negotiate.Compressible(t) {
			c.coding = ""
		}
		if !c.p.Plain && c.p.Flush >= 0 {
			h.Add("Vary", "Accept-Encoding")
		}
	}
	h.Set("Content-Type", t)
	if c.coding != "" {
		h.Set("Content-Encoding", c.coding)
		h.Del("Content-Length")
		h.Del("Accept-Ranges")
		if tag := h.Get("Etag"); strings.HasPrefix(tag, `"`) {
			h.Set("Etag", "W/"+tag) // the strong tag belongs to the uncompressed bytes
		}
	} else if c.p.Size > 0 {
		h.Set("Content-Length", strconv.FormatInt(c.p.Size, 10))
	}
	c.w.WriteHeader(http.StatusOK)
	if c.coding != "" && c.p.Flush >= 0 && c.r.Method != http.MethodHead {
		c.enc = encoder.New(c.coding, toWire{c})
	}
}

// Write sends a chunk, and before the first one the header. It waits for the client.
func (c *client) Write(chunk []byte) (int, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.err != nil {
		return 0, c.err
	}
	if !c.begun {
		c.begin(chunk)
	}
	if c.r.Method == http.MethodHead {
		return 0, weir.ErrStop
	}
	if err := c.length.add(len(chunk)); err != nil {
		return 0, err
	}
	var out io.Writer = toWire{c}
	if c.enc != nil {
		out = c.enc
	}
	n, err := out.Write(chunk)
	if err == nil && !c.armed && c.p.Flush >= 0 {
		c.arm()
	}
	return n, err
}

// toWire writes bytes to the client, after compression.
type toWire struct{ c *client }

func (t toWire) Write(b []byte) (n int, err error) {
	c := t.c
	for len(b) > 0 && err == nil {
		var m int
		m, err = c.wire.Write(b[:min(len(b), rollingPiece*4)])
		n += m
		b = b[m:]
		c.x.add(int64(m))
		if err == nil {
			err = c.over()
		}
	}
	return n, err
}

// over returns an error once the flow or Close has interrupted us; see rolling.
func (c *client) over() error {
	switch {
	case c.ctx.Err() != nil:
		return context.Cause(c.ctx)
	case c.closing.Load():
		return http.ErrAbortHandler
	}
	return nil
}

// arm schedules a flush, so that written bytes leave soon even if no more follow.
func (c *client) arm() {
	c.armed = true
	c.flushes.Add(1)
	d := cmp.Or(c.p.Flush, 50*time.Millisecond)
	c.timer = time.AfterFunc(d, func() {
		defer c.flushes.Done()
		c.mu.Lock()
		defer c.mu.Unlock()
		c.armed = false
		if !c.closed && c.err == nil {
			if c.err = c.flush(); c.err != nil {
				c.stop(c.err) // the source can be one that yields nothing for long
			}
		}
	})
}

// flush sends what was written. It runs in a goroutine of its own, so a panic of middleware
// becomes an error. The flow does the same for a panic of its stages.
func (c *client) flush() (err error) {
	defer func() {
		if e := recover(); e != nil {
			err = &weir.PanicError{Value: e, Stack: debug.Stack()}
		}
	}()
	if c.enc != nil {
		if err := c.enc.Flush(); err != nil {
			return err
		}
	}
	return c.wire.flush()
}

// Commit ends a complete answer.
func (c *client) Commit() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.err != nil {
		return c.err
	}
	if c.r.Method != http.MethodHead {
		if err := c.length.end(); err != nil {
			return err
		}
	}
	if !c.begun {
		c.coding = ""
		c.begin(nil)
	}
	if c.enc != nil {
		if err := c.enc.Close(); err != nil {
			return err
		}
	}
	c.whole = true
	return nil
}

// Close returns when no flush uses the request any more.
func (c *client) Close() error {
	if c.timer == nil {
		c.release()
		return nil
	}
	if !c.whole { // only this goroutine writes whole
		c.closing.Store(true)
		c.ctl.SetWriteDeadline(time.Unix(1, 0)) // interrupts a flush that waits for the client
	}
	c.release()
	if c.timer.Stop() {
		c.flushes.Done()
	}
	c.flushes.Wait()
	return nil
}

func (c *client) release() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.closed = true
	if c.enc != nil {
		encoder.Free(c.coding, c.enc)
		c.enc = nil
	}
	if c.whole {
		c.wire.arm()
	}
}

// SetWriteDeadline interrupts a Write.
func (c *client) SetWriteDeadline(t time.Time) error { return c.ctl.SetWriteDeadline(t) }

// run runs the flow as a transfer.
func (c *client) run(f *weir.Flow) error {
	x := begin(c.r, Download, c.p.Name, c.size())
	c.x = x
	defer x.end(errPanicked) // unless it has ended
	err := c.move(f)
	x.end(err)
	return err
}

// move runs the flow once there is memory for it.
func (c *client) move(f *weir.Flow) error {
	ceiling, err := f.Ceiling()
	if err != nil {
		return err
	}
	need := ceiling.Bytes
	if c.coding != "" && c.p.Flush >= 0 {
		need += encoder.Memory
	}
	release, err := c.guard.reserve(c.r.Context(), need)
	if err != nil {
		return err
	}
	defer release()
	c.x.watch(f)
	if conn := connOf(c.r); conn != nil {
		conn.carry(c.x, c.r)
	}
	ctx, stop := context.WithCancelCause(c.r.Context())
	defer stop(nil)
	c.stop = stop
	return f.Run(ctx)
}

func (c *client) size() int64 {
	if c.p.Size > 0 {
		return c.p.Size
	}
	return -1
}

// fail answers with the status of err.
func (c *client) fail(err error) {
	h := c.w.Header()
	status := statusOf(err)
	if status == http.StatusServiceUnavailable && c.guard != nil {
		tellRetry(h, budget.RetryAfter(c.guard.Queue))
	}
	if status >= 500 {
		logOf(c.guard).Error("no answer", "path", c.r.URL.Path, "client", c.r.RemoteAddr, "error", err)
	}
	c.wire.arm()
	httpError(c.w, status)
}

// choose chooses the coding, as far as it can before the first byte.
func (c *client) choose() string {
	h := c.w.Header()
	if c.p.Plain || h.Get("Content-Encoding") != "" || h.Get("Content-Range") != "" {
		return ""
	}
	t := c.p.Type
	if t == "" {
		t = h.Get("Content-Type")
	}
	// An unknown type is guessed from the first bytes. That is too late for a stage of
	// the flow.
	if t == "" && c.p.Flush < 0 || t != "" && !negotiate.Compressible(t) {
		return ""
	}
	if t != "" {
		h.Add("Vary", "Accept-Encoding")
	}
	if c.p.Size > 0 && c.p.Size < 1<<10 {
		return ""
	}
	return negotiate.Coding(c.r.Header.Values("Accept-Encoding"))
}

func (c *client) open(ctx context.Context) (weir.Writer[byte], error) {
	c.ctx = ctx
	return c, nil
}
