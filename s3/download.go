package s3

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/minio/minio-go/v7"

	"github.com/weir-go/weir/endpoint"
)

// download reads an object from an offset to its end. Read is for one
// goroutine; Close can be called concurrently.
type download struct {
	c    *client
	own  bool // the client is closed with the download
	ctx  context.Context
	stop context.CancelCauseFunc
	key  string
	f    facts
	at   int64 // offset of the next byte that Read returns
	sum  *checksum
	err  error // returned by Read from now on

	// The rest of the object, or its beginning, which is read by one request and not
	// kept; nil: all of it is read in ranges.
	one  *part
	pace pace // of one

	// Ranges in flight, in order. Only Read touches them.
	queue  []*chunk
	next   int64 // where the next range begins
	ranges int   // at a time
	spare  [][]byte

	wg sync.WaitGroup // fetches, and Read itself
	mu sync.Mutex     // guards closed
	// closed is set before wg is waited for, so that nothing is added any more.
	closed bool
}

// chunk is a range in memory. buf and err may be read when done is closed.
type chunk struct {
	buf  []byte
	used int
	done chan struct{}
	err  error
}

// pace judges whether one request gets its bytes fast enough. The zero value is ready.
type pace struct {
	settled bool // there is no more to find out
	begun   bool // the first bytes have come, which wait for the answer
	fast    bool // it was, the last time
	slow    int  // how often in a row it was not
	got     int64
	waited  time.Duration // for these bytes
}

const (
	// fastEnough is how many bytes a second one request must get so that no other is
	// made beside it. Where one gets that much, several would seldom be faster than
	// what has to be done with the bytes, and each holds a range in memory.
	fastEnough = 256 << 20

	paceFirst = 2 << 20  // bytes to judge by
	paceNext  = 16 << 20 // and where the last ones were fast
)

// isSlow records that n bytes took d to arrive. It reports whether several requests are
// worth their memory: if one was slow three times in a row, since a busy machine can be
// late now and then. Time in which we do not read does not count, so a slow destination
// is no reason for more requests.
func (p *pace) isSlow(n int, d time.Duration) bool {
	if p.settled || !p.begun {
		p.begun = true
		return false
	}
	p.got += int64(n)
	p.waited += d
	if p.got < paceFirst || p.fast && p.got < paceNext {
		return false
	}
	p.fast = float64(p.got) >= fastEnough*p.waited.Seconds()
	p.slow++
	if p.fast {
		p.slow = 0
	}
	p.settled = p.slow == 3
	p.got, p.waited = 0, 0
	return p.settled
}

// newDownload begins to read. It asks for nothing before Read. It makes several requests
// at a time only if it can: at once if always is set, otherwise when one is slow.
func newDownload(ctx context.Context, c *client, key string, f facts, offset int64, ranges int, always, own bool) *download {
	d := &download{c: c, own: own, key: key, f: f, at: offset, next: offset, ranges: ranges}
	d.ctx, d.stop = context.WithCancelCause(ctx)
	if offset == 0 && f.sum != nil {
		d.sum = f.sum()
	}
	// Without an ETag, two requests can return different versions. An object of up
	// to two ranges would gain nothing.
	d.pace.settled = ranges < 2 || f.etag == "" || f.size-offset <= 2*rangeSize
	if d.pace.settled || !always {
		d.one, d.next = d.part(offset, f.size), f.size
	}
	return d
}

func (d *download) part(from, to int64) *part {
	ctx := context.WithValue(d.ctx, attemptKey{}, &attempt{})
	return &part{c: d.c, ctx: ctx, key: d.key, f: d.f, at: from, to: to, tries: tries{p: d.c.policy}}
}

// Read waits for bytes. It returns io.EOF only if all of them have arrived and
// are right.
func (d *download) Read(p []byte) (int, error) {
	if d.err != nil || len(p) == 0 {
		return 0, d.err
	}
	if !d.enter() {
		return 0, errClosed
	}
	defer d.wg.Done()
	n, err := d.read(p)
	if d.sum == nil && d.one != nil && d.at == 0 {
		d.sum = d.one.sum
	}
	d.at += int64(n)
	if d.sum != nil {
		d.sum.Write(p[:n])
	}
	if err == nil && n == 0 {
		err = io.EOF
		if d.sum != nil {
			if serr := d.sum.check(); serr != nil {
				err = fmt.Errorf("read %s: %w", d.c.url(d.key), serr)
			}
		}
	}
	d.err = err
	return n, err
}

func (d *download) enter() bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	if !d.closed {
		d.wg.Add(1)
	}
	return !d.closed
}

// read returns 0 and nil at the end.
func (d *download) read(p []byte) (int, error) {
	if d.at == d.f.size {
		return 0, nil
	}
	if d.one != nil && d.one.at < d.one.to {
		began := time.Now()
		n, err := d.one.Read(p)
		if d.pace.isSlow(n, time.Since(began)) {
			d.widen()
		}
		return n, err
	}
	for len(d.queue) < d.ranges && d.next < d.f.size {
		d.fetch()
	}
	head := d.queue[0]
	select {
	case <-head.done:
	case <-d.ctx.Done():
		return 0, context.Cause(d.ctx)
	}
	if head.err != nil {
		return 0, head.err
	}
	n := copy(p, head.buf[head.used:])
	if head.used += n; head.used == len(head.buf) {
		d.queue = d.queue[1:]
		d.spare = append(d.spare, head.buf[:0])
	}
	return n, nil
}

// widen ends the one request early, and makes others for the bytes after it.
func (d *download) widen() {
	if d.f.size-d.one.at <= 2*rangeSize {
		return // it would gain nothing
	}
	d.one.to = d.one.at + rangeSize
	d.next = d.one.to
	for len(d.queue) < d.ranges-1 && d.next < d.f.size {
		d.fetch()
	}
}

// fetch begins to read the next range.
func (d *download) fetch() {
	to := min(d.next+rangeSize, d.f.size)
	ch := &chunk{done: make(chan struct{})}
	if n := len(d.spare); n > 0 {
		ch.buf, d.spare = d.spare[n-1], d.spare[:n-1]
	} else {
		ch.buf = make([]byte, 0, rangeSize)
	}
	ch.buf = ch.buf[:to-d.next]
	d.queue = append(d.queue, ch)
	part := d.part(d.next, to)
	d.next = to
	d.wg.Add(1) // Read holds wg, so it is not waited for in vain
	go func() {
		defer d.wg.Done()
		defer close(ch.done)
		_, ch.err = io.ReadFull(part, ch.buf)
		part.hangUp()
	}()
}

// Peer names what Read waits for.
func (d *download) Peer() string { return peer }

// Close ends the download and waits until nothing of it is left. A Read that
// waits returns.
func (d *download) Close() error {
	d.mu.Lock()
	first := !d.closed
	d.closed = true
	d.mu.Unlock()
	if !first {
		return nil
	}
	d.stop(errClosed)
	d.wg.Wait()
	if d.one != nil {
		d.one.hangUp()
	}
	if d.own {
		d.c.close()
	}
	return nil
}

// part reads one range of an object, and asks again for the rest when the
// connection breaks. It is used by one goroutine.
type part struct {
	c     *client
	ctx   context.Context
	key   string
	f     facts
	at    int64
	to    int64
	body  io.ReadCloser // nil: nothing is open
	tries tries
	sum   *checksum // of the whole object, if it was asked for from its beginning
}

// Read returns io.EOF at the end of the range, and never before.
func (r *part) Read(p []byte) (int, error) {
	for {
		if r.at == r.to {
			return 0, io.EOF
		}
		if int64(len(p)) > r.to-r.at {
			p = p[:r.to-r.at]
		}
		n, err := r.read(p)
		r.at += int64(n)
		if n > 0 {
			r.tries.failed = 0
			if err != nil || r.at == r.to {
				r.hangUp() // the bytes that have arrived need not wait for a new connection
			}
			return n, nil
		}
		r.hangUp()
		if err = refusal(r.ctx, "read", r.c.url(r.key), false, err); err == nil {
			continue
		}
		if r.f.etag == "" && r.at > 0 {
			return 0, fmt.Errorf("%w; cannot resume: the store gives the object no ETag", err)
		}
		if err := r.tries.next(r.ctx, err); err != nil {
			return 0, err
		}
	}
}

// read reads from the answer of the moment, which it asks for if there is none.
func (r *part) read(p []byte) (int, error) {
	if r.body == nil {
		if err := r.open(); err != nil {
			return 0, err
		}
	}
	n, err := r.body.Read(p)
	if n == 0 && err == io.EOF {
		err = io.ErrUnexpectedEOF
	}
	if n > 0 && err == io.EOF {
		err = nil
		if r.at+int64(n) < r.to {
			r.hangUp()
		}
	}
	return n, err
}

// open requests the next bytes, and checks that the store sends these.
func (r *part) open() error {
	var o minio.GetObjectOptions
	if r.f.etag != "" {
		if err := o.SetMatchETag(r.f.etag); err != nil {
			return final{err}
		}
	}
	whole := r.at == 0 && r.to == r.f.size
	if !whole {
		o.Set("Range", fmt.Sprintf("bytes=%d-%d", r.at, r.to-1))
	} else {
		o.Set(headerMode, "ENABLED")
	}
	body, info, header, err := r.c.core.GetObject(r.ctx, r.c.bucket, r.key, o)
	if err != nil {
		return err
	}
	if err = r.accept(info, header, whole); err != nil {
		body.Close()
		return err
	}
	r.body = body
	if whole {
		r.sum = checksumOf(header, r.c.bucket)
	}
	return nil
}

func (r *part) accept(info minio.ObjectInfo, header http.Header, whole bool) error {
	name := r.c.url(r.key)
	if etag := strings.Trim(info.ETag, `"`); etag != r.f.etag {
		return final{&Error{Op: "read", URL: name, StatusCode: http.StatusPreconditionFailed, Err: endpoint.ErrChanged}}
	}
	from, size := int64(0), info.Size
	if text := header.Get("Content-Range"); text != "" {
		var err error
		if from, size, err = contentRange(text); err != nil {
			return final{fmt.Errorf("read %s: the store answered with range %q", name, text)}
		}
	} else if !whole {
		return final{fmt.Errorf("read %s: the store ignores ranges", name)}
	}
	if from != r.at || size != r.f.size {
		return final{fmt.Errorf("read %s: the store sent byte %d of %d; byte %d of %d was asked for", name, from, size, r.at, r.f.size)}
	}
	return nil
}

// contentRange reads "bytes 0-99/1000".
func contentRange(s string) (from, size int64, err error) {
	span, total, _ := strings.Cut(strings.TrimPrefix(s, "bytes "), "/")
	first, _, ok := strings.Cut(span, "-")
	from, err = strconv.ParseInt(first, 10, 64)
	if err == nil {
		size, err = strconv.ParseInt(total, 10, 64)
	}
	if !ok && err == nil {
		err = errors.New("no range")
	}
	return from, size, err
}

// hangUp ends the answer of the moment.
func (r *part) hangUp() {
	if r.body != nil {
		r.body.Close()
		r.body = nil
	}
}
