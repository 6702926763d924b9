package weir

import (
	"context"
	"io"
	"iter"
	"sync"
)

// Stream describes a sequence of values of type T: a source and the stages after
// it. Nothing opens or runs until the stream is connected to a sink ([Stream.To])
// and the resulting [Flow] runs.
//
// A Stream is a small value and can be copied. One flow can use it only once; to
// use it twice, [Tee] it. Several flows can use it if its source can be opened
// several times, as with [File] but not with [FromReader].
type Stream[T any] struct{ n *node[T] }

func newStream[T any](n node[T]) Stream[T] {
	n.id = new(int)
	return Stream[T]{&n}
}

// Named gives the last step of the stream another name in reports and errors.
func (s Stream[T]) Named(name string) Stream[T] {
	return changed(s, func(n *node[T]) { n.name = name })
}

// Async ends the lane after the last step: later steps run concurrently with it,
// behind a pipe with the given limit. The zero Limit means the flow's default.
func (s Stream[T]) Async(limit Limit) Stream[T] {
	return changed(s, func(n *node[T]) {
		n.async, n.limit = true, limit
		if err := limit.check(); err != nil && n.err == nil {
			n.err = err
		}
	})
}

// Sized sets the function that returns how many bytes a value refers to beyond its
// own slot, so that limits in bytes apply to it. A lane calls f once for each value
// that it writes to a pipe, before it locks the pipe; stages that collect values
// call it too. Several lanes can call f at the same time. A panic in f ends the flow
// with a [PanicError]. Operators keep f if their values have the same type; [Merge]
// and [Concat] keep the function of their first stream that has one. Most types need no
// Sized; see [Bytes] for those that weir cannot measure.
func (s Stream[T]) Sized(f func(T) int) Stream[T] {
	return changed(s, func(n *node[T]) { n.size = f })
}

// changed returns s with a changed copy of its last step.
func changed[T any](s Stream[T], change func(*node[T])) Stream[T] {
	if s.n == nil {
		return s
	}
	n := *s.n
	change(&n)
	return Stream[T]{&n}
}

// Through passes the stream through stages that keep its type, in order.
func (s Stream[T]) Through(stages ...Stage[T, T]) Stream[T] {
	for _, st := range stages {
		s = Via(s, st)
	}
	return s
}

// All runs the stream and yields its values one after the other. If there is an
// error, the last pair has it, after all values from before the error. A break
// ends the source, and the loop ends only when everything is closed. The rest of
// the flow runs concurrently with the loop, behind a pipe.
func (s Stream[T]) All(ctx context.Context) iter.Seq2[T, error] {
	return func(yield func(T, error) bool) { yieldAll(ctx, s, yield) }
}

func yieldAll[T any](ctx context.Context, s Stream[T], yield func(T, error) bool) {
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

// To connects the stream to a sink and returns the flow.
func (s Stream[T]) To(k Sink[T]) *Flow {
	f := &Flow{build: func(b *plan) { buildSink(b, s, k) }, given: rootsOf(s).given}
	if k.given != nil {
		f.given = append(f.given[:len(f.given):len(f.given)], k.given)
	}
	return f
}

func rootsOf[T any](s Stream[T]) roots {
	if s.n == nil {
		return roots{}
	}
	return s.n.roots
}

// allRoots returns the roots of all of the streams.
func allRoots[T any](streams []Stream[T]) (r roots) {
	for _, s := range streams {
		r = r.and(rootsOf(s))
	}
	return r
}

// failed returns a stream with a composition error. from holds the roots that the flow
// has to close all the same.
func failed[T any](name string, err error, from roots) Stream[T] {
	return newStream(node[T]{name: name, err: err, roots: from})
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
	r, w, err := PipeOptions[T]{Limit: limit, Size: size}.New()
	if err != nil {
		r, w = NewPipe[T](Limit{})
		s = failed[T]("pipe", err, rootsOf(s))
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
	switch {
	case err == io.EOF:
		return nil
	case o.ctx.Err() != nil: // after the flow had ended, and before all of its values were read
		return o.flow.ended(o.ctx)
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
