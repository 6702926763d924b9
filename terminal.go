package weir

import (
	"context"
	"errors"
	"fmt"
	"io"

	"github.com/weir-go/weir/internal/pipe"
	"github.com/weir-go/weir/internal/units"
)

// Collect runs the stream and returns its values. If there are more than most, the
// flow ends with [ErrLimit]. The maximum is mandatory, because a stream can be
// endless. If the flow fails, Collect returns the error together with the values
// from before it.
func Collect[T any](ctx context.Context, s Stream[T], most int) ([]T, error) {
	var all []T
	k := EachBatch(func(_ context.Context, batch []T) error {
		n := min(len(batch), most-len(all))
		all = append(all, batch[:n]...)
		if n < len(batch) {
			return fmt.Errorf("%w: more than %s", ErrLimit, units.Count(int64(most), "value"))
		}
		return nil
	})
	k.Name = "collect"
	if most < 0 {
		k.Err = fmt.Errorf("negative maximum of %d values", most)
	}
	err := s.To(k).Run(ctx)
	return all, err
}

// Reduce runs the stream and returns f(…f(f(init, first), second)…, last).
func Reduce[T, A any](ctx context.Context, s Stream[T], init A, f func(acc A, v T) (A, error)) (A, error) {
	acc := init
	k := Sink[T]{Name: "reduce", Err: errNilFunc}
	if f != nil {
		k = EachBatch(func(ctx context.Context, batch []T) (err error) {
			for _, v := range batch {
				if ctx.Err() != nil {
					return context.Cause(ctx)
				}
				if acc, err = f(acc, v); err != nil {
					return err
				}
			}
			return nil
		})
		k.Name = "reduce"
	}
	err := s.To(k).Run(ctx)
	return acc, err
}

// Find runs the stream until f returns true for a value, and returns that value. It
// then ends the source.
func Find[T any](ctx context.Context, s Stream[T], f func(T) bool) (found T, ok bool, err error) {
	k := Sink[T]{Name: "find", Err: errNilFunc}
	if f != nil {
		k = EachBatch(func(ctx context.Context, batch []T) error {
			for _, v := range batch {
				if ctx.Err() != nil {
					return context.Cause(ctx)
				}
				if f(v) {
					found, ok = v, true
					return ErrStop
				}
			}
			return nil
		})
		k.Name = "find"
	}
	err = s.To(k).Run(ctx)
	return found, ok, err
}

// Any reports whether f returns true for any value, and ends the source as soon
// as it knows.
func Any[T any](ctx context.Context, s Stream[T], f func(T) bool) (bool, error) {
	_, ok, err := Find(ctx, s, f)
	return ok, err
}

// Every reports whether f returns true for all values, and ends the source as
// soon as it knows.
func Every[T any](ctx context.Context, s Stream[T], f func(T) bool) (bool, error) {
	if f == nil {
		return Any(ctx, s, nil)
	}
	ok, err := Any(ctx, s, func(v T) bool { return !f(v) })
	return !ok && err == nil, err
}

// Count runs the stream and returns how many values it has; for bytes, its
// length.
func Count[T any](ctx context.Context, s Stream[T]) (int64, error) {
	var n int64
	k := EachBatch(func(_ context.Context, batch []T) error {
		n += int64(len(batch))
		return nil
	})
	k.Name = "count"
	err := s.To(k).Run(ctx)
	return n, err
}

// Open runs the stream in the background and returns its bytes as a reader.
// If the flow fails, Read returns its error instead of [io.EOF]. The caller must
// call Close, which ends the flow and returns when everything is closed. Close can
// be called while Read waits, and interrupts it.
func Open(ctx context.Context, s Stream[byte]) io.ReadCloser {
	return &reader{open(ctx, s)}
}

type reader struct{ o *outlet[byte] }

func (r *reader) Read(p []byte) (int, error) {
	n, err := r.o.r.RecvBatch(r.o.ctx, p)
	return n, r.ended(err)
}

func (r *reader) WriteTo(w io.Writer) (int64, error) {
	n, ours, err := pipe.CopyTo(r.o.ctx, nil, r.o.r.p, w, func(int) {})
	if ours {
		if err == nil {
			err = io.EOF
		}
		if err = r.ended(err); err == io.EOF {
			err = nil
		}
	}
	return n, err
}

func (r *reader) ended(err error) error {
	if err == nil || errors.Is(err, ErrClosed) {
		return err
	}
	if ferr := r.o.end(err); ferr != nil {
		return ferr
	}
	return io.EOF
}

func (r *reader) Close() error {
	r.o.stop()
	return nil
}
