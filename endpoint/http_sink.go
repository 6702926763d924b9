package endpoint

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"sync"
	"sync/atomic"
	"time"

	"github.com/weir-go/weir"
	"github.com/weir-go/weir/internal/units"
)

func httpSink(u *url.URL, o SinkOptions) (weir.Sink[byte], error) {
	t, err := newTarget(u)
	switch {
	case err != nil:
		return weir.Sink[byte]{}, err
	case o.Offset > 0:
		return weir.Sink[byte]{}, fmt.Errorf("endpoint: %s: an upload by PUT cannot be continued", t.name)
	}
	if err := o.HTTP.check(); err != nil {
		return weir.Sink[byte]{}, err
	}
	o.HTTP = o.HTTP.withDefaults()
	return weir.Sink[byte]{Name: "upload", Open: func(ctx context.Context) (weir.Writer[byte], error) {
		return startUpload(ctx, t, o)
	}}, nil
}

// upload is one run of the sink. A goroutine waits for the answer while Write
// feeds the body; Close waits for that goroutine.
type upload struct {
	target
	o    SinkOptions
	ctx  context.Context // of the request
	stop context.CancelCauseFunc
	dog  *watchdog

	w       *io.PipeWriter
	written int64

	wanted   chan struct{} // closed when the body is asked for
	answered chan struct{} // closed when err is set and the request is over
	err      error
	whole    atomic.Bool // the body was sent up to its end
}

var errAborted = errors.New("upload was aborted")

// startUpload returns when the server has agreed to take the body, or has
// said nothing against it.
func startUpload(ctx context.Context, t target, o SinkOptions) (*upload, error) {
	u := &upload{target: t, o: o, wanted: make(chan struct{}), answered: make(chan struct{})}
	u.ctx, u.stop = context.WithCancelCause(ctx)
	u.dog = &watchdog{d: o.HTTP.Stall, bark: func() { u.stop(&stallError{"the server took nothing", o.HTTP.Stall}) }}
	r, w := io.Pipe()
	u.w = w
	u.dog.watch()
	defer u.dog.rest()
	go u.run(r)
	select {
	case <-u.wanted:
	case <-u.answered:
		if u.err != nil {
			u.Close()
			return nil, u.err
		}
	}
	return u, nil
}

// Write waits until the connection has taken p.
func (u *upload) Write(p []byte) (int, error) {
	if u.o.Size > 0 && int64(len(p)) > u.o.Size-u.written {
		return 0, fmt.Errorf("PUT %s: more than the announced %s", u.name, units.Count(u.o.Size, "byte"))
	}
	u.dog.watch()
	defer u.dog.rest()
	n, err := u.w.Write(p)
	u.written += int64(n)
	if err != nil {
		err = u.refused()
	}
	return n, err
}

// refused returns why the server does not take the body: its answer says more
// than a broken pipe.
func (u *upload) refused() error {
	<-u.answered // soon: the request ends with its body, or by the watchdog
	if u.err != nil {
		return u.err
	}
	return u.early()
}

func (u *upload) early() error {
	return fmt.Errorf("PUT %s: the server reported success after %s, before the end", u.name, units.Count(u.written, "byte"))
}

// Commit ends the body and waits for the answer.
func (u *upload) Commit() error {
	if u.o.Size > 0 && u.written != u.o.Size {
		return fmt.Errorf("PUT %s: announced %s but received %d", u.name, units.Count(u.o.Size, "byte"), u.written)
	}
	u.w.Close()
	if d := u.o.HTTP.Answer; d > 0 {
		timer := time.AfterFunc(d, func() { u.stop(&stallError{"the server had the last byte and did not answer", d}) })
		defer timer.Stop()
	}
	<-u.answered
	if u.err == nil && !u.whole.Load() && u.o.Size == 0 {
		return u.early()
	}
	return u.err
}

// Close gives the upload up, unless it has been answered, and waits until
// nothing of it is left. A Write that waits returns.
func (u *upload) Close() error {
	u.stop(errAborted)
	u.w.CloseWithError(errAborted)
	<-u.answered
	return nil
}

// run sends the request and keeps the answer.
func (u *upload) run(r *io.PipeReader) {
	defer close(u.answered)
	client, release := u.o.HTTP.client(nil)
	defer release()
	// We follow redirects ourselves: net/http would turn some into a GET, and its
	// success would look like the success of the upload.
	client.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	u.err = u.exchange(client, r)
	if cause := context.Cause(u.ctx); u.err != nil && cause != nil && !errors.As(u.err, new(*StatusError)) {
		u.err = fmt.Errorf("PUT %s: %w", u.name, cause)
	}
	r.CloseWithError(errAnswered)
}

var errAnswered = errors.New("request is over")

// exchange sends the request, again if the answer asks for that and nothing of
// the body has gone, and reads the answer.
func (u *upload) exchange(client *http.Client, r *io.PipeReader) error {
	expect, to := true, u.target
	for hops := 1; ; hops++ {
		body := &uploadBody{u: u, r: r}
		req, err := to.request(u.ctx, http.MethodPut, u.o.HTTP)
		if err != nil {
			return err
		}
		u.dress(req, expect)
		req.Body = body
		resp, err := client.Do(req)
		if err != nil {
			return fmt.Errorf("PUT %s: %w", u.name, bare(err))
		}
		if resp.StatusCode/100 == 2 {
			// The answer may begin before the body has ended; the request
			// continues until the answer ends too.
			_, err := io.Copy(io.Discard, resp.Body)
			resp.Body.Close()
			if err != nil {
				return fmt.Errorf("PUT %s: %s, and then: %w", u.name, resp.Status, err)
			}
			return nil
		}
		refusal := statusError(resp, to.name)
		refusal.exclusive = u.o.Exclusive
		if at, err := resp.Location(); err == nil && resp.StatusCode/100 == 3 {
			refusal.Text = "it points to " + shown(at)
		}
		resp.Body.Close()
		if !body.stop() {
			return refusal
		}
		switch resp.StatusCode {
		case http.StatusExpectationFailed:
			if !expect {
				return refusal
			}
			expect = false
		case http.StatusMovedPermanently, http.StatusFound, http.StatusTemporaryRedirect, http.StatusPermanentRedirect:
			if to, err = to.redirected(resp, hops); err != nil {
				return fmt.Errorf("%w: %w", refusal, err)
			}
		default:
			return refusal
		}
	}
}

// dress adds the headers that describe the body.
func (u *upload) dress(req *http.Request, expect bool) {
	if req.ContentLength = u.o.Size; u.o.Size == 0 {
		req.ContentLength = -1
	}
	if expect {
		req.Header.Set("Expect", "100-continue")
	}
	if u.o.Exclusive {
		req.Header.Set("If-None-Match", "*")
	}
	if req.Header.Get("Content-Type") == "" {
		req.Header.Set("Content-Type", "application/octet-stream")
	}
	req.Header.Del("Accept-Encoding")
}

// uploadBody is the body of one request.
type uploadBody struct {
	u *upload
	r *io.PipeReader

	mu      sync.Mutex // guards the rest; not held while Read waits
	asked   bool
	stopped bool
}

var errBodyKept = errors.New("body is kept for another request")

func (b *uploadBody) Read(p []byte) (int, error) {
	b.mu.Lock()
	if b.stopped {
		b.mu.Unlock()
		return 0, errBodyKept
	}
	if !b.asked {
		b.asked = true
		close(b.u.wanted)
	}
	b.mu.Unlock()
	b.u.dog.progress()
	n, err := b.r.Read(p)
	if err == io.EOF {
		b.u.whole.Store(true)
	}
	return n, err
}

// stop keeps the body from being sent, and reports whether it can be sent with
// another request: nothing of it has gone.
func (b *uploadBody) stop() bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.stopped = true
	return !b.asked
}

// Close is called by the transport when it is done with the body. A waiting
// Write must then fail, but not before the answer has arrived.
func (b *uploadBody) Close() error {
	b.stop()
	return nil
}
