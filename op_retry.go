package weir

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"sync"
	"time"

	"github.com/weir-go/weir/internal/units"
)

// RetryConfig says how often [Retry] tries again.
type RetryConfig struct {
	Attempts int                             // in a row without progress; 0 stands for 5
	Backoff  func(attempt int) time.Duration // wait before attempt 2, 3, …; nil: 100 ms, doubling up to 10 s
	When     func(error) bool                // whether an error is worth it; nil: any but fs.ErrNotExist is
}

// Retry begins a stream at a source that is opened again, where it broke off,
// after a failure. open is given the number of values, for bytes the offset,
// that were read so far, and must return a reader that goes on from there. A
// reader that is an [io.Closer] is closed before the next is opened. Attempts
// are counted anew after each value.
func Retry[T any](open func(ctx context.Context, offset int64) (Reader[T], error), c RetryConfig) Stream[T] {
	src := Source[T]{Name: "retry"}
	if open == nil {
		src.Err = errNilFunc
	}
	if c.Attempts < 0 {
		src.Err = fmt.Errorf("%d attempts: use 1 or more, or 0 for 5", c.Attempts)
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
	c        RetryConfig
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
			if err := sleep(r.ctx, r.c.Backoff(r.failures)); err != nil {
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
