package weir

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"iter"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/weir-go/weir/internal/pause"
	"github.com/weir-go/weir/internal/pipe"
	"github.com/weir-go/weir/internal/units"
	"github.com/weir-go/weir/report"
)

// FromReader begins a stream at r. If r is an [io.Closer], the flow closes it when
// the stream ends or fails, even if the flow fails before it starts; wrap r in
// [KeepOpen] to prevent that. An [io.PipeReader] gets the error of the flow. The
// stream can run once; a second run returns [ErrUsedUp].
func FromReader(r io.Reader) Stream[byte] {
	src := Source[byte]{Name: "read"}
	if r == nil {
		src.Err = errors.New("nil reader")
	}
	src.Open = func(context.Context) (Reader[byte], error) { return r, nil }
	switch r.(type) {
	case *bytes.Reader, *bytes.Buffer, *strings.Reader:
		src.inside = true
	}
	src.Like = r
	src.given = &given{x: r}
	return From(src)
}

// FromSlice begins a stream at the values of s, which must not change while a
// flow with the stream runs. Nothing is copied.
func FromSlice[T any](s []T) Stream[T] {
	n := node[T]{name: "slice"}
	n.build = func(n *node[T], b *plan, ln *lane, out link[T]) {
		sg := addStage[T, T](b, n.name, report.KindSource, out.to)
		sp := ln.place(sg)
		out = linkFrom(out, sp, makes(b, sg, n.size, 0)) // the values are held by the slice
		ln.main = func() error {
			w := &laneWriter[T]{sp, out}
			size := chunkLen[T]()
			ln.Enter(sp.busy)
			for rest := s; len(rest) > 0 && ln.source.Err() == nil; {
				k := min(size, len(rest))
				if _, err := w.Write(rest[:k:k]); err != nil {
					return err
				}
				rest = rest[k:]
			}
			return sp.finish(out.end)
		}
	}
	return newStream(n)
}

// Values begins a stream at the given values.
func Values[T any](vs ...T) Stream[T] { return FromSlice(vs).Named("values") }

// FromSeq begins a stream at an iterator. The iterator runs in its own lane.
// Downstream sees each value at once, however long the next one takes. When the
// flow ends early, the iterator stops as if by a break. [FromSlice] is faster for
// values that are already in memory.
//
// The stream can run again if seq can be iterated over again. If seq yields nothing
// after an earlier run in which it yielded something, it is a single-use iterator,
// and the run returns [ErrUsedUp].
func FromSeq[T any](seq iter.Seq[T]) Stream[T] {
	if seq == nil {
		return FromSeq2[T](nil)
	}
	return FromSeq2(func(yield func(T, error) bool) {
		for v := range seq {
			if !yield(v, nil) {
				return
			}
		}
	})
}

// FromSeq2 begins a stream at an iterator of values and errors. The first error
// that is not nil ends the flow. For a second run see [FromSeq].
func FromSeq2[T any](seq iter.Seq2[T, error]) Stream[T] {
	return oneByOne("seq", seq == nil, func(_ context.Context, send func(T) error) error {
		for v, err := range seq {
			if err != nil {
				return err
			}
			if err := send(v); err != nil {
				return err
			}
		}
		return nil
	})
}

// FromFunc begins a stream at a function that returns the next value, or
// [io.EOF] at the end. It runs in its own lane and is called from one goroutine at
// a time. Its context ends with the flow, and on [Flow.Stop]. For a second run see
// [FromSeq].
func FromFunc[T any](next func(ctx context.Context) (T, error)) Stream[T] {
	return oneByOne("func", next == nil, func(ctx context.Context, send func(T) error) error {
		for {
			v, err := next(ctx)
			if err == io.EOF {
				return nil
			}
			if err != nil {
				return err
			}
			if err := send(v); err != nil {
				return err
			}
		}
	})
}

// oneByOne returns a source that makes single values. They pass through a
// separate pipe, so that none waits for the next.
func oneByOne[T any](name string, isNil bool, run func(ctx context.Context, send func(T) error) error) Stream[T] {
	n := node[T]{name: name, async: true}
	yielded := new(atomic.Bool) // an earlier run had values
	if isNil {
		n.err = errNilFunc
	}
	n.build = func(n *node[T], b *plan, ln *lane, out link[T]) {
		sg := addStage[T, T](b, n.name, report.KindSource, out.to)
		sp := ln.place(sg)
		size, most := makes(b, sg, n.size, 1), b.maxValue
		ln.main = func() error {
			ln.Enter(sp.busy)
			if sp.stopped(ln.source.Err()) {
				return sp.finish(out.end) // before it began
			}
			var n, all int64
			err := run(ln.source, func(v T) error {
				if most > 0 && size != nil {
					one := v // moves to the heap, but only here
					if err := tooLarge(size, &one, most); err != nil {
						return sp.fail(err)
					}
				}
				if n++; n&0xff == 0 {
					sg.out.Add(n)
					all += n
					n = 0
				}
				err := out.pipe.Send(ln.ctx, &ln.Clock, v)
				if err != nil {
					ln.broken = err
					return err
				}
				if ln.source.Err() != nil {
					return context.Cause(ln.source)
				}
				return nil
			})
			sg.out.Add(n)
			all += n
			if !sp.stopped(err) {
				if err := sp.fail(err); err != nil {
					return err
				}
				if all == 0 && ln.source.Err() == nil && yielded.Load() {
					return sp.fail(ErrUsedUp)
				}
			}
			if all > 0 {
				yielded.Store(true)
			}
			return sp.finish(out.end)
		}
	}
	return newStream(n)
}

// FromChan begins a stream at a channel and ends when the channel is closed.
// It takes the values that are available, and never waits for more than one. A run
// after one that found the channel closed returns [ErrUsedUp].
func FromChan[T any](ch <-chan T) Stream[T] {
	src := Source[T]{Name: "channel"}
	closed := new(atomic.Bool)
	if ch == nil {
		src.Err = errors.New("nil channel")
	}
	src.Open = func(ctx context.Context) (Reader[T], error) {
		if closed.Load() {
			return nil, ErrUsedUp
		}
		return chanReader[T]{ctx, ch, closed}, nil
	}
	return From(src)
}

type chanReader[T any] struct {
	ctx    context.Context
	ch     <-chan T
	closed *atomic.Bool
}

func (r chanReader[T]) Read(dst []T) (n int, err error) { return r.readUpTo(dst, pipe.NoMost, nil) }

func (r chanReader[T]) readUpTo(dst []T, most int64, size func(*T) int64) (n int, err error) {
	select {
	case v, ok := <-r.ch:
		if !ok {
			r.closed.Store(true)
			return 0, io.EOF
		}
		dst[0] = v
	case <-r.ctx.Done():
		return 0, context.Cause(r.ctx)
	}
	var sum int64
	for n = 1; n < len(dst); n++ {
		if size != nil {
			if sum += size(&dst[n-1]); sum >= most {
				break
			}
		}
		select {
		case v, ok := <-r.ch:
			if !ok {
				return n, nil // the next call finds it closed
			}
			dst[n] = v
		default:
			return n, nil
		}
	}
	return n, nil
}

// FromPipe begins a stream at the read half of a pipe. The flow closes it, even if
// the flow fails before it starts; writers then get the flow's error or
// [ErrClosed]. The stream can run once; a second run returns [ErrUsedUp].
func FromPipe[T any](r *PipeReader[T]) Stream[T] {
	src := Source[T]{Name: "pipe"}
	if r == nil {
		src.Err = errors.New("nil pipe")
	} else {
		src.given = &given{x: r}
	}
	src.Open = func(ctx context.Context) (Reader[T], error) { return &pipeSource[T]{ctx, r}, nil }
	return From(src)
}

// pipeSource has its pipe in a field with a name, as pipeSink has.
type pipeSource[T any] struct {
	ctx context.Context
	r   *PipeReader[T]
}

func (s *pipeSource[T]) Read(dst []T) (int, error) { return s.r.RecvBatch(s.ctx, dst) }

func (s *pipeSource[T]) Close() error { return s.r.Close() }

func (s *pipeSource[T]) CloseWithError(cause error) error { return s.r.CloseWithError(cause) }

func (s *pipeSource[T]) readUpTo(dst []T, most int64, size func(*T) int64) (n int, err error) {
	if s.r.p.Gate().Measures() {
		n, _, _, err = s.r.p.ReadUpTo(s.ctx, nil, dst, most)
		return n, err
	}
	// A pipe that counts values only.
	if n, err = s.r.RecvBatch(s.ctx, dst[:1]); err != nil {
		return n, err
	}
	for sum := size(&dst[0]); n < len(dst) && sum < most; n++ {
		if k, err := s.r.TryRead(dst[n : n+1]); k == 0 || err != nil {
			break // the next call returns the error
		}
		sum += size(&dst[n])
	}
	return n, nil
}

func (*pipeSource[T]) endsWithContext() {}

// RetryOptions says how often [Retry] tries again.
type RetryOptions struct {
	Attempts int                             // maximum in a row without progress; 0 means 5
	Backoff  func(attempt int) time.Duration // wait before attempt 2, 3, …; nil: 100 ms, doubling up to 10 s
	When     func(error) bool                // whether to retry after an error; nil: after any but fs.ErrNotExist
}

// Retry begins a stream at a source that it opens again after a failure. It calls
// open with the number of values read so far, which for bytes is the offset. open
// must return a reader that continues from there. Retry closes a reader that is an
// [io.Closer] before it opens the next one. The count of attempts starts again after
// each value.
func Retry[T any](open func(ctx context.Context, offset int64) (Reader[T], error), c RetryOptions) Stream[T] {
	src := Source[T]{Name: "retry"}
	if open == nil {
		src.Err = errNilFunc
	}
	if c.Attempts < 0 {
		src.Err = fmt.Errorf("%d attempts; use 1 or more, or 0 for 5", c.Attempts)
	}
	if c.Attempts == 0 {
		c.Attempts = 5
	}
	if c.Backoff == nil {
		c.Backoff = defaultBackoff
	}
	if c.When == nil {
		c.When = func(err error) bool { return !errors.Is(err, fs.ErrNotExist) }
	}
	src.Open = func(ctx context.Context) (Reader[T], error) {
		r := &retrier[T]{ctx: ctx, open: open, c: c}
		return r, r.again(nil)
	}
	return From(src)
}

type retrier[T any] struct {
	ctx      context.Context
	open     func(context.Context, int64) (Reader[T], error)
	c        RetryOptions
	offset   int64
	failures int

	mu     sync.Mutex // Close may come from another goroutine
	r      Reader[T]
	closed bool
}

// again opens the source after a failure, or for the first time.
func (r *retrier[T]) again(err error) error {
	for {
		if err != nil {
			if cause := context.Cause(r.ctx); cause != nil {
				return cause
			}
			if r.failures++; r.failures >= r.c.Attempts || !r.c.When(err) {
				return r.failure(err)
			}
			if err := pause.For(r.ctx, r.c.Backoff(r.failures)); err != nil {
				return err
			}
		}
		var next Reader[T]
		if next, err = r.open(r.ctx, r.offset); err == nil {
			r.mu.Lock()
			closed := r.closed
			if !closed {
				r.r = next
			}
			r.mu.Unlock()
			if closed {
				return errors.Join(ErrClosed, closeIt(next))
			}
			return nil
		}
	}
}

func (r *retrier[T]) failure(err error) error {
	unit := "item"
	if isByte[T]() {
		unit = "byte"
	}
	return fmt.Errorf("at %s %d, after %s: %w", unit, r.offset, units.Count(int64(r.failures), "attempt"), err)
}

func (r *retrier[T]) Read(dst []T) (int, error) {
	for {
		n, err := r.r.Read(dst)
		if n > 0 {
			r.offset += int64(n)
			r.failures = 0
			if err != io.EOF {
				err = nil // a failure comes again with the next Read
			}
			return n, err
		}
		if err == nil || err == io.EOF {
			return 0, err
		}
		r.mu.Lock()
		if r.closed {
			r.mu.Unlock()
			return 0, err
		}
		last := r.r
		r.r = nil
		r.mu.Unlock()
		closeIt(last)
		if err := r.again(err); err != nil {
			return 0, err
		}
	}
}

// Close closes the reader of the moment; a Read that waits in it ends.
func (r *retrier[T]) Close() error {
	r.mu.Lock()
	first, last := !r.closed, r.r
	r.closed = true
	r.mu.Unlock()
	if !first {
		return nil
	}
	return closeIt(last)
}

func closeIt(x any) error {
	if c, ok := x.(io.Closer); ok {
		return c.Close()
	}
	return nil
}

// Generate begins a stream at a function that emits batches until it returns.
// emit waits while the flow is full, and does not keep the batch. The function must
// return the error of emit. It runs in its own lane and should return when ctx ends.
func Generate[T any](name string, f func(ctx context.Context, emit func(batch []T) error) error) Stream[T] {
	n := node[T]{name: name}
	if f == nil {
		n.err = errNilFunc
	}
	n.build = func(n *node[T], b *plan, ln *lane, out link[T]) {
		sg := addStage[T, T](b, n.name, report.KindSource, out.to)
		sp := ln.place(sg)
		out = linkFrom(out, sp, makes(b, sg, n.size, 1))
		ln.main = func() error {
			w := &laneWriter[T]{sp, out}
			emit := func(batch []T) error {
				_, err := w.Write(batch)
				if err == nil && ln.source.Err() != nil {
					return context.Cause(ln.source)
				}
				return err
			}
			ln.Enter(sp.busy)
			if sp.stopped(ln.source.Err()) {
				return sp.finish(out.end) // before it began
			}
			if err := f(ln.source, emit); !sp.stopped(err) {
				if err := sp.fail(err); err != nil {
					return err
				}
			}
			return sp.finish(out.end)
		}
	}
	return newStream(n)
}
