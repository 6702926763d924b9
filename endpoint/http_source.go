package endpoint

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"sync"

	"github.com/weir-go/weir"
	"github.com/weir-go/weir/internal/units"
)

func httpSource(u *url.URL, o SourceOptions) (Input, error) {
	if err := o.HTTP.check(); err != nil {
		return nil, err
	}
	t, err := newTarget(u)
	if err != nil {
		return nil, err
	}
	o.HTTP = o.HTTP.withDefaults()
	return &httpInput{target: t, o: o, info: Info{Name: remoteName(u, nil), Size: -1}}, nil
}

type httpInput struct {
	target
	o SourceOptions

	mu   sync.Mutex // guards info
	info Info
}

func (in *httpInput) Stream() weir.Stream[byte] {
	return weir.From(weir.Source[byte]{Name: "download", Open: in.open})
}

func (in *httpInput) Info() Info {
	in.mu.Lock()
	defer in.mu.Unlock()
	return in.info
}

func (in *httpInput) learn(f facts) {
	in.mu.Lock()
	defer in.mu.Unlock()
	in.info = Info{
		Name:      f.name,
		Size:      f.size,
		Validator: f.validator,
		Modified:  f.modified,
		Resumable: f.ranges && f.validator != "",
	}
}

// Stat asks with HEAD, and a server that does not know HEAD with a GET of which
// it takes only the header.
func (in *httpInput) Stat(ctx context.Context) (Info, error) {
	client, release := in.o.HTTP.client(in.o.HTTP.followed)
	defer release()
	t := tries{o: in.o.HTTP}
	method := http.MethodHead
	for {
		f, err := in.stat(ctx, client, method)
		if err == nil {
			in.learn(f)
			return in.Info(), nil
		}
		if err, ok := errors.AsType[*StatusError](err); ok && method == http.MethodHead && !err.Temporary() {
			method = http.MethodGet // a signature may be good for GET only, too
			continue
		}
		if err := t.next(ctx, err, false); err != nil {
			return in.Info(), fmt.Errorf("endpoint: %w", err)
		}
	}
}

func (in *httpInput) stat(ctx context.Context, client *http.Client, method string) (facts, error) {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	dog := &watchdog{d: in.o.HTTP.Stall, bark: func() { cancel(in.o.HTTP.silence()) }}
	dog.watch()
	defer dog.rest()
	req, err := in.request(ctx, method, in.o.HTTP)
	if err != nil {
		return facts{}, final{err}
	}
	resp, err := client.Do(req)
	if err != nil {
		return facts{}, in.failed(ctx, method, err)
	}
	defer resp.Body.Close()
	if !isWhole(resp) {
		return facts{}, statusError(resp, in.name)
	}
	return in.facts(resp), nil
}

// failed adds the operation to err, and the cause if we ended the operation.
func (in *httpInput) failed(ctx context.Context, method string, err error) error {
	if cause := context.Cause(ctx); cause != nil {
		err = cause
	}
	return fmt.Errorf("%s %s: %w", method, in.name, bare(err))
}

// download is one run of the source.
type download struct {
	in     *httpInput
	ctx    context.Context // ends with the flow, or by Close
	stop   context.CancelCauseFunc
	client *http.Client
	free   func()
	dog    *watchdog
	tries  tries

	at    int64 // offset of the next byte
	met   bool  // an answer was accepted; known holds its facts
	known facts
	left  int64 // bytes that are still to come in this answer, or -1
	sum   *digest
	ended bool
	late  error // the error behind the bytes that Read returned last
	err   error // returned by Read from now on

	attempt context.Context // of the request of the moment

	mu     sync.Mutex // guards the rest: Close comes from another goroutine
	body   io.ReadCloser
	abort  context.CancelCauseFunc // ends the request of the moment
	closed bool
}

func (in *httpInput) open(ctx context.Context) (weir.Reader[byte], error) {
	d := &download{in: in, at: in.o.Offset, tries: tries{o: in.o.HTTP}}
	d.ctx, d.stop = context.WithCancelCause(ctx)
	d.client, d.free = in.o.HTTP.client(in.o.HTTP.followed)
	d.known = facts{size: -1, validator: in.o.Validator}
	d.dog = &watchdog{d: in.o.HTTP.Stall, bark: func() { d.interrupt(in.o.HTTP.silence()) }}
	if err := d.connect(); err != nil {
		if err := d.recover(err); err != nil {
			d.Close()
			return nil, err
		}
	}
	return d, nil
}

// connect requests the next bytes, once. Only the goroutine of Read calls it.
func (d *download) connect() error {
	ctx, abort := context.WithCancelCause(d.ctx)
	d.mu.Lock()
	if d.abort != nil {
		d.abort(nil)
	}
	d.abort = abort
	d.mu.Unlock()
	d.attempt = ctx
	req, err := d.in.request(ctx, http.MethodGet, d.in.o.HTTP)
	if err != nil {
		return final{err}
	}
	if d.at > 0 {
		req.Header.Set("Range", fmt.Sprintf("bytes=%d-", d.at))
		if d.known.validator != "" {
			req.Header.Set("If-Range", d.known.validator)
		}
	}
	d.dog.watch()
	defer d.dog.rest()
	resp, err := d.client.Do(req)
	if err != nil {
		return d.in.failed(ctx, http.MethodGet, err)
	}
	d.mu.Lock()
	if d.closed {
		d.mu.Unlock()
		resp.Body.Close()
		return context.Cause(d.ctx)
	}
	d.body = resp.Body
	d.mu.Unlock()
	skip, err := d.accept(resp)
	if err == nil && skip > 0 {
		err = d.skip(skip)
	}
	if err != nil || d.ended {
		d.hangUp()
	}
	return err
}

// skip reads over the bytes that the caller has: the server knows no ranges,
// and the file is the same.
func (d *download) skip(n int64) error {
	buf := make([]byte, 32<<10)
	for n > 0 {
		k, err := d.body.Read(buf[:min(n, int64(len(buf)))])
		n -= int64(k)
		d.dog.progress()
		if err == io.EOF && n > 0 {
			err = io.ErrUnexpectedEOF
		}
		if err != nil && n > 0 {
			return d.broken(err)
		}
	}
	return nil
}

// recover connects again after err, as long as that is worth it.
func (d *download) recover(err error) error {
	for {
		if cause := context.Cause(d.ctx); cause != nil {
			return cause
		}
		if d.met && d.known.validator == "" && d.at > d.in.o.Offset && worth(err, true) {
			return fmt.Errorf("%w; cannot resume: the server sent no strong ETag or Last-Modified date, so the file may have changed", err)
		}
		if err = d.tries.next(d.ctx, err, d.met); err != nil {
			return err
		}
		if err = d.connect(); err == nil {
			return nil
		}
	}
}

// Read waits for bytes. It ends with io.EOF only when the file is whole.
func (d *download) Read(p []byte) (int, error) {
	if d.err != nil || len(p) == 0 {
		return 0, d.err
	}
	for {
		n, err := 0, d.late
		if err == nil {
			n, err = d.read(p)
		}
		d.late = nil
		if n > 0 {
			d.tries.failed = 0
		}
		switch {
		case err == nil && n > 0:
			return n, nil
		case err == nil:
			continue
		case err == io.EOF:
			d.err = io.EOF
			return n, io.EOF
		case n > 0:
			d.late = err // the bytes that have arrived need not wait for a new connection
			return n, nil
		}
		if err = d.recover(err); err != nil {
			d.err = err
			return 0, err
		}
	}
}

// read reads from the answer of the moment.
func (d *download) read(p []byte) (int, error) {
	if d.ended {
		return 0, io.EOF
	}
	d.dog.watch()
	n, err := d.body.Read(p)
	d.dog.rest()
	if d.left >= 0 && int64(n) > d.left {
		return 0, d.lie("sent more than the announced %s", units.Count(d.at+d.left, "byte"))
	}
	if d.left >= 0 {
		d.left -= int64(n)
	}
	d.at += int64(n)
	if d.sum != nil {
		d.sum.Write(p[:n])
	}
	if err == io.EOF {
		return n, d.finish()
	}
	if err != nil {
		err = d.broken(err)
	}
	return n, err
}

// finish judges the end of an answer.
func (d *download) finish() error {
	d.hangUp()
	switch size := d.known.size; {
	case size >= 0 && d.at < size, d.left > 0:
		return d.broken(io.ErrUnexpectedEOF)
	case size >= 0 && d.at > size:
		return d.lie("sent more than the announced %s", units.Count(size, "byte"))
	}
	d.ended = true
	if d.sum != nil {
		if err := d.sum.check(); err != nil {
			return final{fmt.Errorf("GET %s: %w", d.in.name, err)}
		}
	}
	return io.EOF
}

// broken describes the failure of an answer that had begun.
func (d *download) broken(err error) error {
	if cause := context.Cause(d.attempt); cause != nil {
		err = cause // the error of the body does not include it
	}
	place := fmt.Sprintf("at byte %d", d.at)
	if d.known.size >= 0 {
		place += fmt.Sprintf(" of %d", d.known.size)
	}
	return fmt.Errorf("GET %s: %w (%s)", d.in.name, bare(err), place)
}

// lie describes an answer that contradicts itself.
func (d *download) lie(format string, args ...any) error {
	return final{fmt.Errorf("GET %s: the server %s", d.in.name, fmt.Sprintf(format, args...))}
}

// interrupt ends the request of the moment.
func (d *download) interrupt(cause error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.abort != nil {
		d.abort(cause)
	}
}

// hangUp ends the answer of the moment.
func (d *download) hangUp() {
	d.mu.Lock()
	body := d.body
	d.body = nil
	d.mu.Unlock()
	if body != nil {
		body.Close()
	}
}

// Close ends the download; a Read that waits returns.
func (d *download) Close() error {
	d.mu.Lock()
	body := d.body
	d.closed = true
	d.mu.Unlock()
	d.stop(errClosed)
	if body != nil {
		body.Close()
	}
	d.free()
	return nil
}

var errClosed = errors.New("download was closed")
