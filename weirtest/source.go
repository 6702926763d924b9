package weirtest

import (
	"context"
	"errors"
	"io"
	"time"

	"github.com/weir-go/weir"
)

// Source is a source that a test controls. The zero Source is empty. Set its
// fields before it is used; it must not be copied after that. It can be opened
// several times, and starts from the beginning each time.
type Source[T any] struct {
	Values []T  // the values to yield; they must not change while a flow runs
	Repeat bool // yield them over and over, without an end
	Batch  int  // the most values that one Read yields; 0: as many as it is asked for

	Delay time.Duration   // how long each Read takes, the last one too
	Step  <-chan struct{} // each Read waits to receive from it, unless it is nil

	Err      error // returned after the last value; nil means io.EOF
	OpenErr  error // opening it fails
	CloseErr error // closing it fails

	counter counter
}

// Stream begins a stream at the source. A Read that waits ends with the flow.
func (s *Source[T]) Stream() weir.Stream[T] {
	src := weir.Source[T]{Name: "test source"}
	switch {
	case s.Batch < 0:
		src.Err = errors.New("negative Batch")
	case s.Repeat && len(s.Values) == 0:
		src.Err = errors.New("no values to repeat")
	}
	src.Open = func(ctx context.Context) (weir.Reader[T], error) {
		if s.OpenErr != nil {
			return nil, s.OpenErr
		}
		s.counter.count(func(c *Counts) { c.Opened++ })
		return &reader[T]{part: part{ctx, &s.counter, s.Delay, s.Step, s.CloseErr}, source: s}, nil
	}
	return weir.From(src)
}

// Counts returns the calls to the source so far. It can be called at any time,
// concurrently with a flow.
func (s *Source[T]) Counts() Counts { return s.counter.counts() }

type reader[T any] struct {
	part   part
	source *Source[T]
	at     int // in its values
}

func (r *reader[T]) Read(dst []T) (n int, err error) {
	if err := r.part.begin(len(dst)); err != nil {
		return 0, err
	}
	s := r.source
	if s.Batch > 0 {
		dst = dst[:min(len(dst), s.Batch)]
	}
	for n < len(dst) {
		if r.at == len(s.Values) && s.Repeat {
			r.at = 0
		}
		k := copy(dst[n:], s.Values[r.at:])
		if k == 0 {
			break
		}
		n += k
		r.at += k
	}
	if n == 0 && len(dst) > 0 {
		if s.Err != nil {
			return 0, s.Err
		}
		return 0, io.EOF
	}
	s.counter.count(func(c *Counts) { c.Values += int64(n) })
	return n, nil
}

func (r *reader[T]) Close() error { return r.part.Close() }

// SetReadDeadline does nothing: a Read that waits ends with its context. A
// reader without it would be closed in order to be interrupted, out of turn.
func (r *reader[T]) SetReadDeadline(time.Time) error { return nil }
