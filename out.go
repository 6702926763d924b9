package weir

import (
	"context"
	"errors"
	"io"
	"iter"
	"sync"
)

// All runs the stream and returns its values one after the other. The error,
// if any, comes in a last pair, behind the values that came before it. A break
// ends the source, and what follows the loop runs only after everything is
// closed. The rest of the flow runs concurrently with the loop, behind a pipe.
func (s Stream[T]) All(ctx context.Context) iter.Seq2[T, error] {
	return func(yield func(T, error) bool) {
		o := open(ctx, s)
		defer o.stop()
		for {
			batch, err := o.r.Acquire(o.ctx)
			if err != nil {
				if err := o.end(err); err != nil {
					var none T
					yield(none, err)
				}
				return
			}
			for _, v := range batch {
				if !yield(v, nil) {
					return
				}
			}
			o.r.Release(len(batch))
		}
	}
}

// outlet is a flow that runs in the background and ends in a pipe.
type outlet[T any] struct {
	ctx    context.Context
	cancel context.CancelCauseFunc
	r      *PipeReader[T]
	flow   *Flow
	done   chan struct{} // closed when Run has returned
	err    error         // of Run
	once   sync.Once
}

func open[T any](ctx context.Context, s Stream[T]) *outlet[T] {
	o := &outlet[T]{done: make(chan struct{})}
	var size func(T) int
	var limit Limit
	if s.n != nil {
		size, limit = s.n.size, s.n.limit
	}
	r, w, err := PipeConfig[T]{Limit: limit, Size: size}.New()
	if err != nil {
		r, w = NewPipe[T](Limit{})
		s = failed[T]("pipe", err, s.roots())
	}
	o.r = r
	o.ctx, o.cancel = context.WithCancelCause(ctx)
	k := ToPipe(w)
	k.inside = true // the pipe is the boundary already
	o.flow = s.To(k)
	go func() {
		defer close(o.done)
		o.err = o.flow.Run(o.ctx)
		w.CloseWithError(o.err) // if it was never opened
	}()
	return o
}

// end waits for the flow after the pipe has ended with err.
func (o *outlet[T]) end(err error) error {
	<-o.done
	if o.err != nil {
		return o.err
	}
	if err == io.EOF {
		return nil
	}
	return err
}

// stop ends the flow, if it runs, and waits until nothing is left of it.
func (o *outlet[T]) stop() {
	o.once.Do(func() {
		o.r.CloseWithError(ErrStop)
		o.cancel(ErrStop)
		<-o.done
	})
}

// Open runs the stream in the background and returns its bytes as a reader.
// Read returns the flow's error in place of [io.EOF] if it failed. Close, which
// is required, ends the flow and returns when nothing of it is left; it may be
// called while Read waits, which it ends.
func Open(ctx context.Context, s Stream[byte]) io.ReadCloser {
	return &reader{open(ctx, s)}
}

type reader struct{ o *outlet[byte] }

func (r *reader) Read(p []byte) (int, error) {
	n, err := r.o.r.RecvBatch(r.o.ctx, p)
	return n, r.ended(err)
}

func (r *reader) WriteTo(w io.Writer) (int64, error) {
	n, ours, err := r.o.r.p.writeTo(r.o.ctx, nil, w, func(int) {})
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

// Chan runs the stream in the background and returns a channel of its values,
// which is closed at the end, and a function that waits for the end and returns
// the flow's error. A consumer that stops receiving early must cancel ctx.
func (s Stream[T]) Chan(ctx context.Context) (<-chan T, func() error) {
	ch := make(chan T)
	done := make(chan struct{})
	var err error
	go func() {
		defer close(done)
		defer close(ch)
		f := s.To(ToChan(ch))
		err = f.Run(ctx)
	}()
	return ch, func() error {
		<-done
		return err
	}
}
