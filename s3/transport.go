package s3

import (
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"strconv"
	"sync"
	"time"

	"github.com/weir-go/weir"
)

// newTransport makes the transport of one client.
func newTransport() *http.Transport {
	t := &http.Transport{
		Proxy:                  http.ProxyFromEnvironment,
		DialContext:            (&net.Dialer{Timeout: 30 * time.Second, KeepAlive: 30 * time.Second}).DialContext,
		TLSHandshakeTimeout:    30 * time.Second,
		ExpectContinueTimeout:  time.Second,
		IdleConnTimeout:        90 * time.Second,
		MaxIdleConnsPerHost:    maxParallel,
		MaxResponseHeaderBytes: 64 << 10,
		DisableCompression:     true, // a range is one of the bytes as they are stored
		// HTTP/2 would keep a window of 4 MiB of each range in our memory, which
		// no ceiling knows of.
		Protocols: new(http.Protocols),
	}
	t.Protocols.SetHTTP1(true)
	return t
}

// patience is how long to wait for a store that does nothing.
type patience struct {
	stall  time.Duration // while bytes move; negative: no limit
	answer time.Duration // after the last byte of a request
}

// watched aborts requests without progress. Time during which we do not read
// does not count.
type watched struct {
	patience
	to http.RoundTripper
}

// stalled says that a store did nothing for too long. It matches
// [weir.ErrStalled].
type stalled struct {
	what string
	d    time.Duration
}

func (e *stalled) Error() string { return "the store " + e.what + " for " + e.d.String() }
func (e *stalled) Unwrap() error { return weir.ErrStalled }

func (w *watched) RoundTrip(req *http.Request) (*http.Response, error) {
	ctx, cancel := context.WithCancelCause(req.Context())
	dog := &watchdog{bark: cancel}
	req = req.Clone(ctx)
	if req.Body != nil {
		dog.watch("took nothing", w.stall)
		req.Body = &watchedRequest{ReadCloser: req.Body, dog: dog, p: w.patience}
	} else {
		dog.watch("did not answer", w.answer)
	}
	resp, err := w.to.RoundTrip(req)
	dog.rest()
	if err != nil {
		dog.end()
		if cause := context.Cause(ctx); cause != nil {
			err = cause
		}
		cancel(nil)
		return nil, err
	}
	if a := attemptOf(req.Context()); a != nil {
		a.note(resp)
	}
	resp.Body = &watchedBody{ReadCloser: resp.Body, dog: dog, p: w.patience, ctx: ctx, cancel: cancel}
	return resp, nil
}

// watchedRequest is a body that is sent. Each part that is taken is progress, and
// after the last one the store has longer to answer.
type watchedRequest struct {
	io.ReadCloser
	dog *watchdog
	p   patience
}

func (b *watchedRequest) Read(p []byte) (int, error) {
	n, err := b.ReadCloser.Read(p)
	if err == io.EOF {
		b.dog.watch("did not answer", b.p.answer)
	} else {
		b.dog.watch("took nothing", b.p.stall)
	}
	return n, err
}

// watchedBody is an answer.
type watchedBody struct {
	io.ReadCloser
	dog    *watchdog
	p      patience
	ctx    context.Context
	cancel context.CancelCauseFunc
}

func (b *watchedBody) Read(p []byte) (int, error) {
	b.dog.watch("sent nothing", b.p.stall)
	n, err := b.ReadCloser.Read(p)
	b.dog.rest()
	if cause := context.Cause(b.ctx); cause != nil && err != nil && err != io.EOF {
		err = cause
	}
	return n, err
}

func (b *watchedBody) Close() error {
	b.dog.end()
	b.cancel(nil)
	return b.ReadCloser.Close()
}

// watchdog ends a request when nothing has happened for a while. Progress only moves
// the deadline, since it comes with each piece of a body. The timer finds out by
// itself that it has to wait longer.
type watchdog struct {
	bark context.CancelCauseFunc

	mu       sync.Mutex // guards the rest
	what     string
	d        time.Duration
	deadline time.Time   // zero: we do not wait for the store
	timer    *time.Timer // calls look
	wakes    time.Time   // when the timer does so; zero: it does not run
}

// watch begins to wait for the next progress.
func (w *watchdog) watch(what string, d time.Duration) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.what, w.d, w.deadline = what, d, time.Time{}
	if d < 0 {
		return
	}
	w.deadline = time.Now().Add(d)
	if w.wakes.IsZero() || w.deadline.Before(w.wakes) {
		w.wake(d)
	}
}

func (w *watchdog) wake(d time.Duration) {
	w.wakes = w.deadline
	if w.timer == nil {
		w.timer = time.AfterFunc(d, w.look)
	} else {
		w.timer.Reset(d)
	}
}

// look ends the request if the deadline has passed.
func (w *watchdog) look() {
	w.mu.Lock()
	w.wakes = time.Time{}
	left := time.Until(w.deadline)
	over := !w.deadline.IsZero() && left <= 0
	if !w.deadline.IsZero() && left > 0 {
		w.wake(left)
	}
	why := stalled{w.what, w.d}
	w.mu.Unlock()
	if over {
		w.bark(&why)
	}
}

// rest stops to wait until watch is called again.
func (w *watchdog) rest() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.deadline = time.Time{}
}

// end stops the timer.
func (w *watchdog) end() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.deadline = time.Time{}
	if w.timer != nil {
		w.timer.Stop()
		w.wakes = time.Time{}
	}
}

// attempt has facts about an answer that minio-go does not pass on.
type attempt struct {
	mu    sync.Mutex // guards after
	after time.Duration
}

type attemptKey struct{}

func attemptOf(ctx context.Context) *attempt {
	a, _ := ctx.Value(attemptKey{}).(*attempt)
	return a
}

// note keeps how long the store asks to wait.
func (a *attempt) note(resp *http.Response) {
	var d time.Duration
	if s, err := strconv.ParseUint(resp.Header.Get("Retry-After"), 10, 31); err == nil && resp.StatusCode >= 400 {
		d = time.Duration(s) * time.Second
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	a.after = d
}

func (a *attempt) retryAfter() time.Duration {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.after
}

var errClosed = errors.New("closed")
