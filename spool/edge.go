package spool

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"sync"
	"time"

	"github.com/weir-go/weir"
	"github.com/weir-go/weir/durable"
	"github.com/weir-go/weir/endpoint"
	"github.com/weir-go/weir/report"
)

// peer is what a flow waits for while its end of the spool waits.
const peer = "the other side of the spool"

// sink is the producer's end.
type sink struct {
	l    *Log
	at   int64   // offset of the next byte
	same *reader // of the bytes that the spool has already; nil: none that can be read
	buf  []byte  // for bytes read from same
	till int64   // the producer repeats its earlier bytes up to here
}

func (k *sink) Name() string { return "spool " + k.l.dir }

// Holds includes the frame that is filled, and the bytes that are compared.
func (k *sink) Holds() int64 { return 2*frameMemory + compareLen }

const compareLen = 32 << 10

// Peer says whom Write waits for, if it has ever waited because the spool was full.
func (k *sink) Peer() string {
	k.l.mu.Lock()
	defer k.l.mu.Unlock()
	if k.l.since.IsZero() && k.l.refusal == 0 {
		return ""
	}
	return peer
}

// Edge describes the spool.
func (k *sink) Edge() report.Edge { return k.l.edge() }

// Pace returns how often to save, so that much of a small spool can be removed while
// its reader works.
func (k *sink) Pace() (bytes int64, age, idle time.Duration) {
	const wait = 250 * time.Millisecond
	return min(8<<20, k.l.opts.max()/8), wait, wait
}

func (k *sink) Open(context.Context) (durable.Checkpoint, error) {
	l := k.l
	k.close()
	if err := l.sync(); err != nil {
		return durable.Checkpoint{}, k.err(err)
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	k.at, k.till = l.check.Offset, l.written
	return l.check, nil
}

// Forget empties the spool.
func (k *sink) Forget(context.Context) error {
	k.close()
	k.at, k.till = 0, 0
	return k.err(k.l.empty(k.l.begin))
}

func (k *sink) Write(ctx context.Context, p []byte) (n int, err error) {
	if k.at < k.till {
		if n, err = k.compare(p[:min(int64(len(p)), k.till-k.at)]); err != nil {
			return n, k.err(err)
		}
	}
	for waits := false; n < len(p); {
		change := k.l.watch()
		m, err := k.l.put(p[n:])
		n += m
		k.at += int64(m)
		if err == errFull {
			if !waits {
				waits = true
				k.l.refuse(true)
				defer k.l.refuse(false)
			}
			err = wait(ctx, change)
		}
		if err != nil {
			return n, k.err(err)
		}
	}
	return n, nil
}

// compare takes p, which the spool has already, and compares it with that, unless it
// has been removed.
func (k *sink) compare(p []byte) (n int, err error) {
	if k.same == nil {
		first, _ := k.l.extent()
		if k.at+int64(len(p)) <= first {
			k.at += int64(len(p))
			return len(p), nil
		}
		n = int(max(0, first-k.at))
		k.at += int64(n)
		k.same, k.buf = newReader(k.l, k.at), make([]byte, compareLen)
	}
	for n < len(p) {
		m, err := k.same.try(k.buf[:min(len(k.buf), len(p)-n)])
		if err != nil {
			if k.passed() { // it was removed under our hands
				k.close()
				rest, err := k.compare(p[n:])
				return n + rest, err
			}
			return n, err
		}
		if !bytes.Equal(k.buf[:m], p[n:n+m]) {
			return n, fmt.Errorf("%w: the bytes from offset %d on differ from those that were written before; the source or a stage has changed; remove the folder to begin anew", durable.ErrOther, k.at)
		}
		n, k.at = n+m, k.at+int64(m)
	}
	if k.at == k.till {
		k.close()
	}
	return n, nil
}

// passed reports whether the spool no longer has the next byte.
func (k *sink) passed() bool {
	first, _ := k.l.extent()
	return first > k.at
}

func (k *sink) Save(_ context.Context, c durable.Checkpoint) error {
	if c.Offset != k.at {
		return k.err(fmt.Errorf("checkpoint of offset %d; %d bytes were written", c.Offset, k.at))
	}
	return k.err(k.l.save(c))
}

func (k *sink) Commit(ctx context.Context, c durable.Checkpoint) error {
	if c.Offset < k.till {
		return k.err(fmt.Errorf("%w: end at offset %d, and %d bytes were written before; the source or a stage has changed; remove the folder to begin anew", durable.ErrOther, c.Offset, k.till))
	}
	c.End = true
	return k.Save(ctx, c)
}

func (k *sink) Close() error {
	k.close()
	return nil
}

func (k *sink) close() {
	if k.same != nil {
		k.same.close()
		k.same, k.buf = nil, nil
	}
}

func (k *sink) err(err error) error { return k.l.named(err) }

// source is the consumer's end.
type source struct{ l *Log }

func (s source) Name() string { return "spool " + s.l.dir }
func (s source) Holds() int64 { return frameMemory }

// Stat returns the id of the spool, which an emptied one does not keep.
func (s source) Stat(context.Context) (string, error) { return s.l.version(), nil }

func (s source) Open(ctx context.Context, p durable.Position) (io.ReadCloser, error) {
	l := s.l
	if v := l.version(); p.Version != v {
		return nil, l.named(fmt.Errorf("%w: it is %s, not %s", endpoint.ErrChanged, v, p.Version))
	}
	first, end := l.extent()
	if p.Offset < first || p.Offset > end {
		return nil, l.named(fmt.Errorf("%w: it has the bytes from offset %d to %d, and the reader has come to %d", endpoint.ErrChanged, first, end, p.Offset))
	}
	ctx, cancel := context.WithCancelCause(ctx)
	return &sourceReader{r: newReader(l, p.Offset), ctx: ctx, cancel: cancel, idle: make(chan struct{}, 1)}, nil
}

// Done removes the files that have only bytes before offset.
func (s source) Done(_ context.Context, offset int64) error { return s.l.named(s.l.free(offset)) }

type sourceReader struct {
	r      *reader
	ctx    context.Context
	cancel context.CancelCauseFunc
	idle   chan struct{} // has a token while Read runs, and when it never will again
	once   sync.Once
}

func (s *sourceReader) Read(p []byte) (int, error) {
	select {
	case s.idle <- struct{}{}:
		defer func() { <-s.idle }()
	case <-s.ctx.Done():
		return 0, s.err(context.Cause(s.ctx))
	}
	l := s.r.l
	for {
		change := l.watch()
		n, err := s.r.try(p)
		if err != weir.ErrEmpty {
			return n, s.err(err)
		}
		l.mu.Lock()
		dirty := l.written > l.durable || l.held > 0
		l.mu.Unlock()
		if dirty {
			err = l.sync()
		} else if err = l.wrong(); err == nil {
			err = wait(s.ctx, change)
		}
		if err != nil {
			return 0, s.err(err)
		}
	}
}

func (s *sourceReader) err(err error) error {
	if err == nil || err == io.EOF {
		return err
	}
	return s.r.l.named(err)
}

// Peer says whom Read waits for, if there is nothing to read.
func (s *sourceReader) Peer() string { return peer }

// Edge describes the spool.
func (s *sourceReader) Edge() report.Edge { return s.r.l.edge() }

// Close interrupts a Read and waits for its end.
func (s *sourceReader) Close() error {
	s.once.Do(func() {
		s.cancel(errReaderClosed)
		s.idle <- struct{}{}
		s.r.close()
	})
	return nil
}

var errReaderClosed = errors.New("reader closed")
