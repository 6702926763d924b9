package s3

import (
	"bytes"
	"context"
	"fmt"
	"hash"
	"sync"

	"github.com/minio/crc64nvme"

	"github.com/weir-go/weir"
	"github.com/weir-go/weir/endpoint"
)

// upload is one run of a sink. Write, Prepare and Commit are for one goroutine;
// Close can be called concurrently.
type upload struct {
	*writing
	o    endpoint.SinkOptions
	part int64

	buf     []byte        // the part that fills
	buffers int           // how many more may be made
	free    chan []byte   // buffers whose part has been sent
	failed  chan struct{} // closed when err is set
	began   func() error  // called when the multipart upload has begun; can be nil
	total   int64
	whole   hash.Hash64
	number  int // of the last part that was sent off

	wg sync.WaitGroup // parts that are sent, and Write, Prepare and Commit
	mu sync.Mutex     // guards the rest
	// closed is set before wg is waited for, so that nothing is added any more.
	closed bool
	err    error // the first failure of a part
	done   bool  // the object is there
}

func newUpload(ctx context.Context, c *client, key string, part int64, buffers int, o endpoint.SinkOptions) *upload {
	u := &upload{
		writing: newWriting(ctx, c, key, o.Exclusive),
		o:       o, part: part, buffers: buffers,
		free: make(chan []byte, buffers), failed: make(chan struct{}), whole: crc64nvme.New(),
	}
	return u
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

// Write takes p into parts, and waits while all of them are on their way.
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
		// A part is sent off when there is more behind it: what fits into one is
		// no multipart upload.
		if int64(len(u.buf)) == u.part {
			if err := u.send(); err != nil {
				return written, err
			}
		}
		if u.buf == nil {
			if err := u.buffer(); err != nil {
				return written, err
			}
		}
		n := int(min(int64(len(p)), u.part-int64(len(u.buf))))
		u.grow(n)
		u.buf = append(u.buf, p[:n]...)
		u.whole.Write(p[:n])
		u.total += int64(n)
		written += n
		p = p[n:]
	}
	return written, nil
}

// grow makes room for n more bytes. A small object takes no whole part of memory;
// a buffer that doubles is copied a few times, and never holds more than a part.
func (u *upload) grow(n int) {
	need := len(u.buf) + n
	if need <= cap(u.buf) {
		return
	}
	size := max(2*cap(u.buf), need, 64<<10)
	if int64(size) > u.part/4 { // the old and the new one together are no more than 1¼ parts
		size = int(u.part)
	}
	u.buf = append(make([]byte, 0, size), u.buf...)
}

// buffer takes a buffer that is free, or makes one, or waits.
func (u *upload) buffer() error {
	select {
	case u.buf = <-u.free:
		return nil
	default:
	}
	if u.buffers > 0 {
		u.buffers--
		u.buf = []byte{}
		return nil
	}
	select {
	case u.buf = <-u.free:
		return nil
	case <-u.failed:
		return u.failure()
	case <-u.ctx.Done():
		return context.Cause(u.ctx)
	}
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
		u.c.sweep(u.ctx, u.key)
		if err := u.begin(); err != nil {
			return err
		}
		if u.began != nil {
			if err := u.began(); err != nil {
				return err
			}
		}
	}
	if u.number == most {
		limit := int64(most) * u.part
		return fmt.Errorf("write %s: more than %s, which is %d parts of %s; use larger parts, as in ?part-size=%dMiB",
			u.c.url(u.key), weir.FormatBytes(limit), most, weir.FormatBytes(u.part), 4*u.part>>20)
	}
	u.number++
	number, buf := u.number, u.buf
	u.buf = nil
	u.wg.Add(1) // our caller is counted, so it is not waited for in vain
	go func() {
		defer u.wg.Done()
		p := sentPart{number: number, sum: sumOf(buf), size: int64(len(buf))}
		err := u.sendPart(u.ctx, &p, bytes.NewReader(buf), int64(len(buf)), func() string { return md5Base64(buf) })
		if err != nil {
			u.fail(err)
			return
		}
		u.sent(p)
		u.free <- buf[:0]
	}()
	return nil
}

func sumOf(p []byte) uint64 {
	h := crc64nvme.New()
	h.Write(p)
	return h.Sum64()
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
	if len(u.buf) > 0 {
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
	if int64(len(u.buf)) == u.part {
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
func (u *upload) Commit() error { return u.place(u.whole.Sum64) }

// place makes the object appear. sum returns its checksum, if it has several
// parts.
func (u *upload) place(sum func() uint64) error {
	if err := u.Prepare(); err != nil {
		return err
	}
	if err := u.enter(); err != nil {
		return err
	}
	defer u.wg.Done()
	var err error
	if u.id == "" {
		err = u.put(bytes.NewReader(u.buf), int64(len(u.buf)), sumOf(u.buf), func() string { return md5Base64(u.buf) })
	} else {
		err = u.complete(sum(), u.total)
	}
	if err == nil {
		u.mu.Lock()
		u.done = true
		u.mu.Unlock()
	}
	return err
}

// keep makes Close leave the parts in the store.
func (u *upload) keep() {
	u.mu.Lock()
	defer u.mu.Unlock()
	u.done = true
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
	if done {
		return nil
	}
	if err := u.abort(); err != nil {
		return fmt.Errorf("%w; its parts stay, invisible, until a later upload to the same key removes them", err)
	}
	return nil
}

var _ interface{ Prepare() error } = (*upload)(nil)
