package endpoint

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"sync"
	"time"

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

// facts has the properties of a file from the header of an answer.
type facts struct {
	name      string
	size      int64 // of the whole file, or -1
	validator string
	modified  time.Time
	ranges    bool
}

func (in *httpInput) facts(resp *http.Response) facts {
	f := facts{
		name:      remoteName(in.url, resp.Header),
		size:      resp.ContentLength,
		validator: validator(resp.Header),
		ranges:    strings.EqualFold(resp.Header.Get("Accept-Ranges"), "bytes"),
	}
	f.modified, _ = http.ParseTime(resp.Header.Get("Last-Modified"))
	if resp.StatusCode == http.StatusPartialContent {
		f.size, f.ranges = -1, true
	}
	return f
}

// validator returns a value for If-Range: a strong entity tag, or else a date
// that is strong by RFC 9110, section 8.8.2.2: the file was at least a second
// old when the answer was made, so that another change in the same second
// cannot hide.
func validator(h http.Header) string {
	if tag := h.Get("ETag"); tag != "" {
		if isStrong(tag) {
			return tag
		}
		return ""
	}
	changed, err1 := http.ParseTime(h.Get("Last-Modified"))
	now, err2 := http.ParseTime(h.Get("Date"))
	if err1 != nil || err2 != nil || now.Sub(changed) < time.Second {
		return ""
	}
	return h.Get("Last-Modified")
}

func isStrong(tag string) bool {
	return len(tag) >= 2 && tag[0] == '"' && tag[len(tag)-1] == '"'
}

func isWhole(resp *http.Response) bool {
	return resp.StatusCode == http.StatusOK || resp.StatusCode == http.StatusNonAuthoritativeInfo
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

// accept judges the header of an answer, and returns how many of its bytes the
// caller has already.
func (d *download) accept(resp *http.Response) (skip int64, err error) {
	switch {
	case isWhole(resp):
		return d.acceptWhole(resp)
	case resp.StatusCode == http.StatusPartialContent && d.at > 0:
		return 0, d.acceptPart(resp)
	case resp.StatusCode == http.StatusRequestedRangeNotSatisfiable && d.at > 0:
		return 0, d.acceptEnd(resp)
	}
	return 0, statusError(resp, d.in.name)
}

// acceptWhole takes an answer with the whole file. Where a part was asked for,
// it means that the file has changed, unless the validator says that it has
// not: the server does not know ranges then.
func (d *download) acceptWhole(resp *http.Response) (skip int64, err error) {
	f := d.in.facts(resp)
	if d.at > 0 && d.known.validator != f.validator && (d.met || d.known.validator != "") {
		return 0, d.changed()
	}
	if err := d.sameSize(f.size); d.at > 0 && err != nil {
		return 0, err
	}
	if f.size >= 0 && d.at > f.size {
		return 0, d.changed()
	}
	if d.at == 0 {
		d.sum = announced(resp.Header)
	}
	d.learn(f)
	d.left = -1
	return d.at, nil
}

// acceptPart takes an answer whose content must begin at byte at.
func (d *download) acceptPart(resp *http.Response) error {
	first, last, total, err := contentRange(resp.Header.Get("Content-Range"))
	switch {
	case err != nil:
		return d.lie("sent a part without saying which: %v", err)
	case first != d.at:
		return d.lie("was asked for what begins at byte %d and sent what begins at byte %d", d.at, first)
	case resp.ContentLength >= 0 && resp.ContentLength != last-first+1:
		return d.lie("announced %s and a part of %d", units.Count(resp.ContentLength, "byte"), last-first+1)
	}
	f := d.in.facts(resp)
	f.size = total
	key := "ETag"
	if !isStrong(d.known.validator) {
		key = "Last-Modified"
	}
	if v := resp.Header.Get(key); v != "" && d.known.validator != "" && v != d.known.validator {
		return d.changed()
	}
	if err := d.sameSize(total); err != nil {
		return err
	}
	if d.known.validator != "" { // a part need not repeat it
		f.validator = d.known.validator
	}
	d.learn(f)
	d.left = last - first + 1
	return nil
}

// acceptEnd takes the answer that there is nothing at or behind at.
func (d *download) acceptEnd(resp *http.Response) error {
	total, err := strconv.ParseInt(strings.TrimPrefix(resp.Header.Get("Content-Range"), "bytes */"), 10, 64)
	switch {
	case err != nil:
		return statusError(resp, d.in.name)
	case total != d.at:
		return d.changed()
	}
	if err := d.sameSize(total); err != nil {
		return err
	}
	f := d.in.facts(resp)
	f.size, f.ranges, f.validator = total, true, d.known.validator
	d.learn(f)
	d.ended = true
	return nil
}

// learn keeps the facts of an answer, for the next answer and for the caller.
func (d *download) learn(f facts) {
	if f.size < 0 && d.met && d.at > 0 {
		f.size = d.known.size
	}
	d.met, d.known = true, f
	d.in.learn(f)
}

func (d *download) sameSize(size int64) error {
	if d.met && size >= 0 && d.known.size >= 0 && size != d.known.size {
		return d.changed()
	}
	return nil
}

func (d *download) changed() error {
	return final{fmt.Errorf("GET %s: %w (at byte %d)", d.in.name, ErrChanged, d.at)}
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

// contentRange reads "bytes first-last/total"; total is -1 for "*".
func contentRange(v string) (first, last, total int64, err error) {
	malformed := fmt.Errorf("Content-Range %q", v)
	if v == "" {
		return 0, 0, 0, errors.New("no Content-Range")
	}
	unit, rest, _ := strings.Cut(v, " ")
	span, size, ok := strings.Cut(rest, "/")
	from, to, ok2 := strings.Cut(span, "-")
	if !strings.EqualFold(unit, "bytes") || !ok || !ok2 {
		return 0, 0, 0, malformed
	}
	first, err1 := strconv.ParseInt(from, 10, 64)
	last, err2 := strconv.ParseInt(to, 10, 64)
	total = -1
	if size != "*" {
		if total, err = strconv.ParseInt(size, 10, 64); err != nil || total <= last {
			return 0, 0, 0, malformed
		}
	}
	if err1 != nil || err2 != nil || first < 0 || last < first {
		return 0, 0, 0, malformed
	}
	return first, last, total, nil
}
