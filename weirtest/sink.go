package weirtest

import (
	"context"
	"errors"
	"slices"
	"time"

	"github.com/weir-go/weir"
)

// Sink is a sink that a test controls, and that keeps the values it takes. The
// zero Sink takes everything. Set its fields before it is used; it must not be
// copied after that.
type Sink[T any] struct {
	Forget bool // do not keep the values, for instance of an endless source

	Delay time.Duration   // how long each Write takes
	Step  <-chan struct{} // each Write waits to receive from it, unless it is nil

	Err       error // returned by Write after After values, for instance [weir.ErrStop]; nil: never
	After     int64
	OpenErr   error // opening it fails
	CommitErr error // committing it fails
	CloseErr  error // closing it fails

	counter counter
	values  []T
}

// Sink returns the sink for a flow. A Write that waits ends with the flow.
func (s *Sink[T]) Sink() weir.Sink[T] {
	k := weir.Sink[T]{Name: "test sink"}
	if s.After < 0 {
		k.Err = errors.New("negative After")
	}
	k.Open = func(ctx context.Context) (weir.Writer[T], error) {
		if s.OpenErr != nil {
			return nil, s.OpenErr
		}
		s.counter.count(func(c *Counts) { c.Opened++ })
		return &writer[T]{part: part{ctx, &s.counter, s.Delay, s.Step, s.CloseErr}, sink: s}, nil
	}
	return k
}

// Counts returns the calls to the sink so far. It can be called at any time,
// concurrently with a flow.
func (s *Sink[T]) Counts() Counts { return s.counter.counts() }

// Values returns a copy of the values taken so far, in order, over all runs. It
// can be called at any time.
func (s *Sink[T]) Values() []T {
	s.counter.mu.Lock()
	defer s.counter.mu.Unlock()
	return slices.Clone(s.values)
}

type writer[T any] struct {
	part  part
	sink  *Sink[T]
	taken int64 // in this run
}

func (w *writer[T]) Write(batch []T) (n int, err error) {
	if err := w.part.begin(len(batch)); err != nil {
		return 0, err
	}
	s := w.sink
	if s.Err != nil {
		if room := s.After - w.taken; int64(len(batch)) > room {
			batch, err = batch[:room], s.Err
		}
	}
	w.taken += int64(len(batch))
	s.counter.count(func(c *Counts) {
		c.Values += int64(len(batch))
		if !s.Forget {
			s.values = append(s.values, batch...)
		}
	})
	return len(batch), err
}

func (w *writer[T]) Commit() error {
	w.part.counter.count(func(c *Counts) { c.Committed++ })
	return w.sink.CommitErr
}

func (w *writer[T]) Close() error { return w.part.Close() }

// SetWriteDeadline does nothing: a Write that waits ends with its context. A
// writer without it would be closed in order to be interrupted, out of turn.
func (w *writer[T]) SetWriteDeadline(time.Time) error { return nil }
