package kernelcopy

import (
	"errors"
	"io"
	"sync"
)

// The buffers of a copy through memory. A pipe holds 64 KiB, and sockets take
// no more at once; between files a longer call saves a third of the time.
const (
	smallBuffer = 64 << 10
	largeBuffer = 256 << 10
)

var (
	smallBuffers = sync.Pool{New: func() any { return new(make([]byte, smallBuffer)) }}
	largeBuffers = sync.Pool{New: func() any { return new(make([]byte, largeBuffer)) }}
)

var errBadWrite = errors.New("writer returned an impossible count")

// loop copies through memory.
func (t *transfer) loop() error {
	g := t.g
	pool := &smallBuffers
	if betweenFiles(t.dst, t.src) {
		pool = &largeBuffers
	}
	b := pool.Get().(*[]byte)
	defer pool.Put(b)
	buf := *b
	for empty := 0; t.remain > 0; {
		if g.enter(reading) {
			return errEnded
		}
		t.Observer.Enter(Reading)
		if t.awaitInput() {
			return errEnded
		}
		n, rerr := t.src.Read(buf[:min(int64(len(buf)), t.remain)])
		g.leave()
		if n > 0 {
			empty = 0
			if g.enter(writing) {
				return errEnded
			}
			t.Observer.Enter(Writing)
			m, err := t.dst.Write(buf[:n])
			g.leave()
			if m < 0 || m > n {
				m, err = 0, errBadWrite
			} else if m < n && err == nil {
				err = io.ErrShortWrite
			}
			if err := t.moved(int64(m), err); err != nil {
				return err
			}
		} else if empty++; empty == 100 && rerr == nil {
			return io.ErrNoProgress
		}
		if rerr == io.EOF {
			return nil
		}
		if rerr != nil {
			return t.interrupted(rerr)
		}
	}
	return nil
}
