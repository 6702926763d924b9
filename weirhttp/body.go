package weirhttp

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/weir-go/weir"
	"github.com/weir-go/weir/compress"
	"github.com/weir-go/weir/internal/deny"
	"github.com/weir-go/weir/weirhttp/internal/tcp"
)

// requestBody is the body of a request, with a limit on its length and on how long its
// client can send nothing. It is for one goroutine.
type requestBody struct {
	body   io.ReadCloser
	rc     *http.ResponseController
	stall  time.Duration // negative: no limit
	length int64         // as announced; -1: unknown
	limit  int64         // most bytes; 0: no limit
	n      int64         // bytes read

	conn *conn         // nil: not under a guard, so there is no minimum rate
	late time.Duration // how far the client is behind the minimum rate

	touched bool // Read was called, so net/http has sent 100 Continue
	ended   bool // all of the body was read
	beside  bool // a part of it was not read through net/http

	end *bodyEnd // shared by copies
}

// bodyEnd is how the reading of a body ends.
type bodyEnd struct {
	mu       sync.Mutex // guards the fields below
	cut      bool       // interrupt has ended the reading
	answered bool       // the answer has begun
}

// withBody returns a copy of r whose Body is a requestBody.
func withBody(w http.ResponseWriter, r *http.Request, stall time.Duration) (*http.Request, *requestBody) {
	b := &requestBody{body: r.Body, rc: http.NewResponseController(w), stall: stall, length: r.ContentLength, conn: connOf(r), end: new(bodyEnd)}
	r = r.WithContext(r.Context())
	r.Body = b
	return r, b
}

// extend gives the client another stall to send something. It replaces the deadline of
// the server.
func (b *requestBody) extend() error {
	if b.stall < 0 {
		return b.SetReadDeadline(time.Time{})
	}
	return b.SetReadDeadline(time.Now().Add(b.stall - b.late))
}

// judge records that n bytes arrived, or err, after a wait for the client. wait leaves
// out the time that rate limits held the bytes back. judge returns err, or errLate if the
// client is too slow.
func (b *requestBody) judge(n int64, wait time.Duration, err error) error {
	if b.stall > 0 && wait >= b.stall-b.late && errors.Is(err, os.ErrDeadlineExceeded) {
		return errLate
	}
	if b.conn == nil {
		return err
	}
	b.late = behind(b.late, wait, n, b.conn.share())
	if err == nil && b.stall > 0 && b.late >= b.stall {
		return errLate
	}
	return err
}

// Read returns an *http.MaxBytesError when the body exceeds the limit.
func (b *requestBody) Read(p []byte) (int, error) {
	if b.limit > 0 && int64(len(p)) > b.limit-b.n {
		p = p[:b.limit-b.n+1] // one more byte shows that the body is too long
	}
	b.touched = true
	began, waited := time.Now(), b.conn.waited()
	n, err := b.body.Read(p)
	b.n += int64(n)
	if b.limit > 0 && b.n > b.limit {
		b.n--
		return n - 1, &http.MaxBytesError{Limit: b.limit}
	}
	if err == io.EOF {
		b.ended = true
		// net/http reads on, to notice that the client disconnects. A deadline of ours
		// would look like that.
		if derr := b.SetReadDeadline(time.Time{}); derr != nil {
			err = derr
		}
	}
	return n, b.judge(int64(n), time.Since(began)-(b.conn.waited()-waited), err)
}

// SetReadDeadline does nothing if the server has no deadlines.
func (b *requestBody) SetReadDeadline(t time.Time) error {
	if err := b.rc.SetReadDeadline(t); err != nil && !errors.Is(err, http.ErrNotSupported) {
		return err
	}
	return nil
}

// Close closes the body.
func (b *requestBody) Close() error { return b.body.Close() }

// bodyPending reports whether more of the body of r can arrive. Over HTTP/2 it reports
// false, since an unread body does not get in the way of the answer there.
func bodyPending(r *http.Request) bool {
	b, ok := r.Body.(*requestBody)
	return r.ProtoMajor == 1 && r.ContentLength != 0 && !(ok && b.ended)
}

// isLast reports whether the connection must end after the answer to r. Otherwise
// net/http would read the rest of the body before it answers, or would not know where
// the next request begins.
//
// It is also true after interrupt: when the deadline passes behind a body that was read to
// its end, net/http ends the contexts of all later requests of the connection. From the
// call of isLast on, interrupt leaves the connection alone.
func isLast(r *http.Request) bool {
	b, ok := r.Body.(*requestBody)
	if !ok {
		return bodyPending(r)
	}
	cut := b.answer()
	return bodyPending(r) || b.beside || cut
}

// answer says that the answer begins, and reports whether interrupt has been called.
func (b *requestBody) answer() bool {
	if b.end == nil {
		return false // nobody can interrupt it
	}
	b.end.mu.Lock()
	defer b.end.mu.Unlock()
	b.end.answered = true
	return b.end.cut
}

// interrupt ends a Read that waits for the client, unless the answer has begun. Another
// goroutine can call it.
func (b *requestBody) interrupt() {
	b.end.mu.Lock()
	defer b.end.mu.Unlock()
	if b.end.answered {
		return
	}
	b.end.cut = true
	_ = b.SetReadDeadline(time.Unix(1, 0))
}

// closeBehind announces the end of the connection if isLast says so.
func closeBehind(h http.Header, r *http.Request) {
	if isLast(r) {
		h.Set("Connection", "close")
	}
}

// refuse answers a request whose body can be unread, and then waits until the client has
// read the answer. A server that closes the connection while the client still sends
// resets it, and the answer is lost.
func refuse(w http.ResponseWriter, r *http.Request, status int, text string) {
	deny.Tell(w, r, status, text, isLast(r))
	linger(w, r, status)
}

// hearBytes is how much linger reads. A test changes it.
var hearBytes int64 = deny.HearBytes

// linger sends the answer, which has this status and must be complete. It then drops the
// bytes that the client still sends, until the client closes its side.
func linger(w http.ResponseWriter, r *http.Request, status int) {
	if !bodyPending(r) {
		return
	}
	rc := http.NewResponseController(w)
	if b, ok := r.Body.(*requestBody); ok && !b.touched && r.Header.Get("Expect") != "" {
		// A client that waits for 100 Continue sends nothing, and net/http would wait
		// for the body.
		_ = rc.SetReadDeadline(time.Unix(1, 0))
		return
	}
	if rc.Flush() != nil {
		return
	}
	if w.Header().Get("Content-Length") == "" && !bodyless(r, status) {
		// Middleware has rewritten the answer. It is sent in chunks, and only net/http
		// can send the last one.
		return
	}
	conn, _, err := rc.Hijack()
	if err != nil {
		return
	}
	defer conn.Close()
	if half, ok := conn.(interface{ CloseWrite() error }); ok {
		half.CloseWrite()
	}
	deny.Drop(conn, conn, hearBytes)
}

// bodyless reports whether an answer with this status has no body, and so needs no length.
func bodyless(r *http.Request, status int) bool {
	return r.Method == http.MethodHead || status == http.StatusNoContent || status == http.StatusNotModified
}

// tellRetry sets Retry-After, in seconds rounded up.
func tellRetry(h http.Header, after time.Duration) {
	h.Set("Retry-After", strconv.FormatInt(int64((after+time.Second-1)/time.Second), 10))
}

// BodyOptions change how [Body] reads. The zero value reads any number of bytes, under
// the timeouts of the server.
type BodyOptions struct {
	// MaxSize is the most bytes that can arrive over the connection. A longer body
	// ends the flow with an *http.MaxBytesError. Zero means no limit.
	MaxSize int64

	// Limit is how much is read ahead. It is also how far the end of a slow flow can
	// lag behind when the client disconnects. The default is 256 KiB.
	Limit weir.Limit

	// Stall is the longest time the client can send nothing while the flow waits for
	// it. The flow then ends with os.ErrDeadlineExceeded. Stall replaces the server's
	// ReadTimeout and the Stall of a [Guard], which apply if it is 0. Negative
	// disables the check.
	Stall time.Duration

	// Decode decodes a Content-Encoding of gzip, deflate or zstd. MaxOutput is the
	// most bytes after decoding; 0 means no limit. The output is also limited to 1,000
	// times the input. Beyond either limit the flow ends with compress.ErrTooLarge.
	// Data after the end of the encoded data ends it with compress.ErrTrailing, after
	// everything that could be decoded. An unknown encoding ends it with
	// [ErrEncoding].
	Decode    bool
	MaxOutput int64
}

// Body begins a stream at the body of r. It can be run once. w is the writer of the
// answer. Reading ends when the handler returns.
//
// The stream reads ahead, up to Limit, so that the flow ends as soon as the client
// disconnects, even while a later stage is still busy. When the pipe is full, it notices
// within a second if the connection ends before all of a body of known length has
// arrived. That works over HTTP/1 on Linux, under a [Guard] without rate limits or with
// [ConnContext].
//
// The error says what was wrong with the body, and names the stage "body":
// io.ErrUnexpectedEOF for a body that ended too early, the error of the connection,
// os.ErrDeadlineExceeded, or an *http.MaxBytesError. [BodyStatus] returns the HTTP status
// for it. net/http also cancels the request's context in each of these cases, without a
// cause, so run the flow without that cancellation. A client that disconnects after
// sending all of its body does not end the flow.
//
//	body := weirhttp.Body(w, r, weirhttp.BodyOptions{})
//	err := body.To(sink).Run(context.WithoutCancel(r.Context()))
func Body(w http.ResponseWriter, r *http.Request, o BodyOptions) weir.Stream[byte] {
	b := &bodySource{r: r, rc: http.NewResponseController(w), o: o, broken: make(chan error)}
	s := weir.From(weir.Source[byte]{Name: "body", Open: b.open}).Async(o.Limit)
	if !o.Decode {
		return s
	}
	stage, err := decoder(r.Header.Values("Content-Encoding"), o.MaxOutput)
	switch {
	case err != nil:
		return weir.From(weir.Source[byte]{Name: "body", Err: err})
	case len(stage) == 0:
		return s
	}
	return s.Through(stage...)
}

// mostRatio is how many times larger a body can become when it is decoded. gzip reaches
// this ratio with nothing but zeros.
const mostRatio = 1000

// decoder returns the stages that decode a body with these encodings, the last one first.
func decoder(values []string, most int64) ([]weir.Stage[byte, byte], error) {
	opts := []compress.Option{compress.MaxRatio(mostRatio)}
	if most > 0 {
		opts = append(opts, compress.MaxOutput(most))
	}
	var stages []weir.Stage[byte, byte]
	for name := range strings.SplitSeq(strings.Join(values, ","), ",") {
		var st weir.Stage[byte, byte]
		switch strings.ToLower(strings.TrimSpace(name)) {
		case "", "identity":
			continue
		case "gzip", "x-gzip":
			st = compress.Gunzip(opts...)
		case "deflate":
			st = compress.Unzlib(opts...)
		case "zstd":
			st = compress.Unzstd(opts...)
		default:
			return nil, fmt.Errorf("%w: %q", ErrEncoding, name)
		}
		stages = append([]weir.Stage[byte, byte]{st}, stages...)
	}
	if len(stages) > 2 {
		return nil, fmt.Errorf("%w: %d encodings", ErrEncoding, len(stages))
	}
	return stages, nil
}

// bodySource is the source of a running Body.
type bodySource struct {
	r    *http.Request
	rc   *http.ResponseController
	o    BodyOptions
	body *requestBody
	got  atomic.Int64 // bytes read
	ctx  context.Context

	broken chan error // from Read to Watch: reading has failed
}

func (b *bodySource) open(ctx context.Context) (weir.Reader[byte], error) {
	b.ctx = ctx
	b.body = &requestBody{body: b.r.Body, rc: b.rc, stall: b.o.Stall, length: b.r.ContentLength, limit: b.o.MaxSize}
	if b.o.Stall > 0 { // otherwise the guard watches the whole connection
		b.body.conn = connOf(b.r)
	}
	if b.o.MaxSize > 0 && b.body.length > b.o.MaxSize {
		return nil, &http.MaxBytesError{Limit: b.o.MaxSize}
	}
	return b, nil
}

func (b *bodySource) Read(p []byte) (int, error) {
	if b.o.Stall != 0 {
		if err := b.body.extend(); err != nil {
			return 0, err
		}
	}
	if b.ctx.Err() != nil {
		// extend can have overwritten the deadline by which the flow interrupts us.
		return 0, context.Cause(b.ctx)
	}
	n, err := b.body.Read(p)
	b.got.Add(int64(n))
	var tooLarge *http.MaxBytesError
	if err != nil && err != io.EOF && !errors.As(err, &tooLarge) {
		// A body that broke off is useless. An error of Read would reach the flow
		// behind all earlier bytes; an error of Watch ends the flow at once.
		select {
		case b.broken <- err:
			<-b.ctx.Done()
		case <-b.ctx.Done():
		}
	}
	return n, err
}

// bodyWatch is how often Watch looks at the connection.
const bodyWatch = 250 * time.Millisecond

// Watch ends the flow as soon as the client has disconnected, ahead of all bytes that
// wait in the flow. Read reports that, or the connection does: while the pipe is full
// nobody reads, so Watch looks whether the connection has ended before all of the body
// arrived.
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
	before := int64(-1) // bytes read at the last look, if too few had arrived
	for {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case err := <-b.broken:
			return err
		case <-ticker.C:
		}
		// Bytes that Read is reading at this moment are in neither count. They are if
		// nothing has been read until the next look.
		n := b.got.Load()
		a, ok := tcp.ArrivalsOf(raw)
		short := ok && a.Ended && n+a.Unread+bufferedBody < b.r.ContentLength
		switch {
		case short && n == before && a.Reset:
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

// watchable returns the connection if it tells how much of the body has arrived, and nil
// otherwise: over HTTP/2, if another handler has wrapped the body, and if a rate limit holds back
// bytes that were read.
func (b *bodySource) watchable() syscall.RawConn {
	if b.r.ProtoMajor != 1 || b.r.ContentLength <= bufferedBody || !isOwnBody(b.r.Body) {
		return nil
	}
	if c := connOf(b.r); c != nil && c.paced() {
		return nil
	}
	return rawConn(b.r)
}

// SetReadDeadline interrupts a Read when the flow ends.
func (b *bodySource) SetReadDeadline(t time.Time) error {
	if err := b.rc.SetReadDeadline(t); err != nil {
		return b.r.Body.Close()
	}
	return nil
}

// Close leaves a deadline in the future unless all of the body was read. net/http reads
// a part of the rest before it sends the answer, so that the client can read that.
func (b *bodySource) Close() error {
	if b.body.ended {
		return nil
	}
	return b.body.SetReadDeadline(time.Now().Add(deny.HearIdle))
}
