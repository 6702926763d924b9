package s3

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"sync"
	"time"

	"github.com/minio/crc64nvme"

	"github.com/weir-go/weir"
	"github.com/weir-go/weir/endpoint"
)

// upload is one run of a sink. Write, Prepare and Commit are for one goroutine;
// Close can be called concurrently.
type upload struct {
	*writing
	o       endpoint.SinkOptions
	part    int64
	content endpoint.ReaderAtCloser // parts are read from here; nil: they are in memory

	// The part that fills. In memory, buf has its bytes.
	filling bool
	filled  int64
	sum     *digest
	buf     []byte

	free   chan []byte   // buffers whose part has been sent; all are nil if there is content
	failed chan struct{} // closed when err is set
	note   func() error  // called before and after the multipart upload begins; can be nil
	total  int64
	number int // of the last part that was sent off

	wg sync.WaitGroup // parts that are sent, and Write, Prepare and Commit
	mu sync.Mutex     // guards the rest
	// closed is set before wg is waited for, so that nothing is added any more.
	closed bool
	err    error // the first failure of a part
	done   bool  // the object is there

	made    int // buffers that there are
	allowed int // how many more may be made
	reserve int // and how many more if the upload is faster with them

	// These decide whether it is, see notePart.
	older int           // parts in flight that were sent before the last buffer was made
	slow  int           // parts in a row that were slow
	moved int64         // their bytes
	took  time.Duration // and the sum of their times
	rate  float64       // of the upload before that buffer was added, in bytes a second
}

const (
	// slowPart is how many bytes of a part a store must take in a second, or the upload
	// tries whether it is faster with one more at a time. Behind one that takes more, two
	// parts are sent at 100 MiB a second or more.
	slowPart = 50 << 20

	// slowInARow is how many parts must be slow before it does, since a busy machine can
	// be late now and then.
	slowInARow = 4
)

// newSink returns an object as a sink.
func newSink(a address, o endpoint.SinkOptions) weir.Sink[byte] {
	file, usual := o.Reopen != nil, int64(heldPart)
	if file {
		usual = filePart
	}
	part := a.store.partSize(o.Size, usual)
	if o.Size > 0 {
		part = min(part, o.Size)
	}
	_, most := a.store.buffers(o.Size, part, file)
	holds := int64(most)*part + part/growth // a buffer that grows is copied, see grow
	if file {
		holds = int64(most) * sendBuffer
	}
	return weir.Sink[byte]{Name: "store", Holds: holds, Open: func(ctx context.Context) (weir.Writer[byte], error) {
		c, err := newClient(a, o.HTTP)
		if err != nil {
			return nil, err
		}
		if o.Exclusive {
			// The store decides at the end. This saves reading content that it will
			// refuse.
			if err := c.refuseExisting(ctx, a.key); err != nil {
				c.close()
				return nil, err
			}
		}
		u := newUpload(ctx, c, a.key, part, o)
		if file {
			if u.content, err = o.Reopen(); err != nil {
				u.Close()
				return nil, err
			}
		}
		return u, nil
	}}
}

// sendBuffer is about how much memory a request takes that sends a part of a file.
const sendBuffer = 64 << 10

func newUpload(ctx context.Context, c *client, key string, part int64, o endpoint.SinkOptions) *upload {
	first, most := c.store.buffers(o.Size, part, o.Reopen != nil)
	return &upload{
		writing: newWriting(ctx, c, key, o.Exclusive),
		o:       o, part: part, allowed: first, reserve: most - first,
		free: make(chan []byte, most), failed: make(chan struct{}), sum: newDigest(c),
	}
}

// resize sets another size of the parts, before any is filled. There are at most as many
// as fit into holds bytes, and at least one.
func (u *upload) resize(part, holds int64) {
	most := max(1, int(min(holds/part, int64(u.allowed+u.reserve))))
	u.allowed = min(u.allowed, most)
	u.reserve = most - u.allowed
	u.part = part
}

// enter keeps Close waiting until leave is called.
func (u *upload) enter() error {
	u.mu.Lock()
	defer u.mu.Unlock()
	if u.closed {
		return errClosed
	}
	if u.err != nil {
		return u.err
	}
	u.wg.Add(1)
	return nil
}

// Peer names what Write waits for.
func (u *upload) Peer() string { return peer }

// Write takes p into parts, and waits while all of them are in flight.
func (u *upload) Write(p []byte) (int, error) {
	if err := u.enter(); err != nil {
		return 0, err
	}
	defer u.wg.Done()
	if u.o.Size > 0 && int64(len(p)) > u.o.Size-u.total {
		return 0, fmt.Errorf("write %s: more than the announced %d bytes", u.c.url(u.key), u.o.Size)
	}
	written := 0
	for len(p) > 0 {
		// A part is sent off when there is more behind it: content that fits into one
		// is no multipart upload.
		if u.filled == u.part {
			if err := u.send(); err != nil {
				return written, err
			}
		}
		if !u.filling {
			if err := u.buffer(); err != nil {
				return written, err
			}
		}
		n := int(min(int64(len(p)), u.part-u.filled))
		if u.content == nil {
			u.grow(n)
			u.buf = append(u.buf, p[:n]...)
		}
		u.sum.Write(p[:n])
		u.filled += int64(n)
		u.total += int64(n)
		written += n
		p = p[n:]
	}
	return written, nil
}

// growth is by how much a buffer grows. It leaves little garbage behind.
const growth = 8

// grow makes room for n more bytes. A small object takes no whole part of memory, and
// behind a first part another whole one is likely.
func (u *upload) grow(n int) {
	need := len(u.buf) + n
	if need <= cap(u.buf) {
		return
	}
	size := max(growth*cap(u.buf), need, 64<<10)
	if u.number > 0 || int64(size) > u.part/growth { // the old and the new one together are no more than 1⅛ parts
		size = int(u.part)
	}
	u.buf = append(make([]byte, 0, size), u.buf...)
}

// buffer takes a buffer that is free, or makes one, or waits.
func (u *upload) buffer() error {
	select {
	case u.buf = <-u.free:
		u.filling = true
		return nil
	default:
	}
	if u.takeBuffer() {
		u.filling = true
		return nil
	}
	select {
	case u.buf = <-u.free:
		u.filling = true
		return nil
	case <-u.failed:
		return u.failure()
	case <-u.ctx.Done():
		return context.Cause(u.ctx)
	}
}

// takeBuffer takes one of the buffers that may still be made, if there is any.
func (u *upload) takeBuffer() bool {
	u.mu.Lock()
	defer u.mu.Unlock()
	if u.allowed == 0 {
		return false
	}
	u.allowed--
	u.made++
	u.older = u.made - 1
	return true
}

// notePart allows one more buffer if several parts in a row were slow, and none after one
// that made the upload hardly faster. A part of n bytes was sent in d. If that took more
// than one attempt, it says nothing: an overloaded store must not get more requests.
func (u *upload) notePart(n int64, d time.Duration, attempts int) {
	u.mu.Lock()
	defer u.mu.Unlock()
	switch {
	case u.reserve == 0 || u.allowed > 0: // the last buffer is not needed yet
		return
	case u.older > 0:
		u.older--
		return
	case attempts > 1 || float64(n) >= slowPart*d.Seconds():
		u.slow, u.moved, u.took = 0, 0, 0
		return
	}
	u.moved += n
	u.took += d
	if u.slow++; u.slow < slowInARow {
		return
	}
	rate := float64(u.made) * float64(u.moved) / u.took.Seconds()
	if rate < 1.1*u.rate {
		u.reserve = 0
		return
	}
	u.reserve--
	u.allowed++
	u.rate, u.slow, u.moved, u.took = rate, 0, 0, 0
}

func (u *upload) failure() error {
	u.mu.Lock()
	defer u.mu.Unlock()
	return u.err
}

func (u *upload) fail(err error) {
	u.mu.Lock()
	defer u.mu.Unlock()
	if u.err == nil {
		u.err = err
		close(u.failed)
	}
}

// send sends the full part, or the last one, in a new goroutine.
func (u *upload) send() error {
	if u.id == "" {
		u.c.sweep(u.ctx, u.key, func(key string) bool { return key == u.key })
		for _, step := range []func() error{u.note, u.begin, u.note} {
			if step != nil {
				if err := step(); err != nil {
					return err
				}
			}
		}
	}
	if u.number == maxParts {
		limit := int64(maxParts) * u.part
		return fmt.Errorf("write %s: more than %s, which is %d parts of %s; use larger parts, as in ?part-size=%dMiB",
			u.c.url(u.key), weir.FormatBytes(limit), maxParts, weir.FormatBytes(u.part), 4*u.part>>20)
	}
	u.number++
	buf, body := u.buf, u.body()
	p := sentPart{number: u.number, sums: u.sum.sums(), size: u.filled}
	u.filling, u.filled, u.buf = false, 0, nil
	u.sum.Reset()
	u.wg.Add(1) // our caller is counted, so it is not waited for in vain
	go func() {
		defer u.wg.Done()
		begun := time.Now()
		attempts, err := u.sendPart(u.ctx, &p, body(), func() string { return md5Base64(body()) })
		took := time.Since(begun)
		if err = u.changed(body(), p.crc, err); err != nil {
			u.fail(err)
			return
		}
		u.notePart(p.size, took, attempts)
		u.sent(p)
		u.free <- buf[:0]
	}()
	return nil
}

// body returns a function that returns a new reader of the part that fills. A request
// that has failed can still read its body, so nothing else may use that.
func (u *upload) body() func() io.ReadSeeker {
	if u.content == nil {
		b := u.buf
		return func() io.ReadSeeker { return bytes.NewReader(b) }
	}
	at, n := u.total-u.filled, u.filled
	return func() io.ReadSeeker { return io.NewSectionReader(u.content, at, n) }
}

// changed returns why a part was not sent: err, or that its content has changed since
// sum was computed. A store that compares checksums has found that out itself; from
// others even a part that was sent has to be compared.
func (u *upload) changed(body io.ReadSeeker, sum uint64, err error) error {
	if u.content == nil || u.ctx.Err() != nil || err == nil && !u.plain {
		return err
	}
	if now, rerr := sumOf(body); rerr != nil || now != sum {
		return fmt.Errorf("write %s: %w", u.c.url(u.key), errors.Join(errChanged, rerr))
	}
	return err
}

// errChanged is the error if a source has other bytes when its parts are sent.
var errChanged = errors.New("source changed while it was read")

// sumOf returns the checksum of all that r has.
func sumOf(r io.ReadSeeker) (uint64, error) {
	h := crc64nvme.New()
	_, err := r.Seek(0, io.SeekStart)
	if err == nil {
		_, err = io.Copy(h, r)
	}
	return h.Sum64(), err
}

// Prepare waits until all parts have arrived, except those that the last
// request sends.
func (u *upload) Prepare() error {
	if err := u.enter(); err != nil {
		return err
	}
	defer u.wg.Done()
	if u.o.Size > 0 && u.total != u.o.Size {
		return fmt.Errorf("write %s: announced %d bytes but received %d", u.c.url(u.key), u.o.Size, u.total)
	}
	if u.id == "" {
		return nil
	}
	if u.filled > 0 {
		if err := u.send(); err != nil {
			return err
		}
	}
	return u.wait()
}

// flush sends the part that fills, if it is full, and waits until all parts that
// were sent have arrived.
func (u *upload) flush() error {
	if err := u.enter(); err != nil {
		return err
	}
	defer u.wg.Done()
	if u.filled == u.part {
		if err := u.send(); err != nil {
			return err
		}
	}
	return u.wait()
}

// wait waits until all parts that were sent have arrived.
func (u *upload) wait() error {
	var free [][]byte
	defer func() {
		for _, b := range free {
			u.free <- b
		}
	}()
	for u.arrived() < u.number {
		select {
		case b := <-u.free: // one more has arrived
			free = append(free, b)
		case <-u.failed:
			return u.failure()
		case <-u.ctx.Done():
			return context.Cause(u.ctx)
		}
	}
	return nil
}

// Commit makes the object appear.
func (u *upload) Commit() error {
	if err := u.Prepare(); err != nil {
		return err
	}
	if err := u.enter(); err != nil {
		return err
	}
	defer u.wg.Done()
	var err error
	if u.id == "" {
		body, sum := u.body(), u.sum.sums()
		err = u.put(body(), u.filled, sum, func() string { return md5Base64(body()) })
		err = u.changed(body(), sum.crc, err)
	} else {
		sum := u.merged()
		if err = u.complete(sum, u.total); isConflict(err) && u.content != nil {
			err = u.again(sum)
		}
	}
	if err == nil {
		u.keep()
	}
	return err
}

// keep makes Close leave the object, or its parts, in the store.
func (u *upload) keep() {
	u.mu.Lock()
	defer u.mu.Unlock()
	u.done = true
}

// again sends the content once more, because the store has dropped the upload.
func (u *upload) again(sum uint64) error {
	if err := u.abort(); err != nil {
		return err
	}
	f := &fileUpload{
		c: u.c, key: u.key, exclusive: u.exclusive, content: u.content, size: u.total, part: u.part,
		atOnce: cap(u.free), count: func(int64) {}, whole: &sum,
	}
	return f.run(u.ctx)
}

// Close aborts the upload, unless it was committed: it ends running requests
// and removes the parts from the store.
func (u *upload) Close() error {
	u.mu.Lock()
	first, done := !u.closed, u.done
	u.closed = true
	u.mu.Unlock()
	if !first {
		return nil
	}
	u.stop(errClosed)
	u.wg.Wait()
	u.partStop()
	defer u.c.close()
	u.buf = nil
	if u.content != nil {
		u.content.Close() // it was only read
	}
	if done {
		return nil
	}
	if err := u.abort(); err != nil {
		return fmt.Errorf("%w; its parts stay, invisible, until a later upload to the same key removes them", err)
	}
	return nil
}

var _ interface{ Prepare() error } = (*upload)(nil)
