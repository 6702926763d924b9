package weir

import (
	"context"
	"errors"
	"io"
	"time"
)

// Sink is where a stream ends. A Sink is a description; each run of a flow
// opens it anew.
type Sink[T any] struct {
	// Name appears in errors, reports and profiles.
	Name string

	// Open returns the running sink. When the flow has succeeded, the writer's
	// Commit() error is called if it has one; then, however the flow ended,
	// its Close() error if it has one, exactly once. Their errors are the
	// flow's. When the flow ends while Write waits, Write is interrupted
	// through SetWriteDeadline if the writer has it, and through Close
	// otherwise. A Write that has enough returns [ErrStop].
	Open func(ctx context.Context) (Writer[T], error)

	// Err is a wrong argument of the sink's constructor, reported when the
	// flow is run, before anything opens.
	Err error

	inside bool // Write is the user's own code, not the outside world
	target *target
}

// To ends the stream in a sink.
func (s Stream[T]) To(k Sink[T]) *Flow {
	return &Flow{build: func(b *plan) { buildSink(b, s, k) }}
}

func buildSink[T any](b *plan, s Stream[T], k Sink[T]) {
	ln := b.newLane()
	sg := addStage[T, T](b, k.Name, KindSink, nil)
	sp := ln.place(sg)
	if k.Err == nil && k.Open == nil {
		k.Err = errors.New("it has no Open: a Sink must say how it opens")
	}
	if k.Err != nil {
		b.fail(k.Name, k.Err)
		return
	}
	var w Writer[T]
	b.open(sp, func() (func(error) error, error) {
		var err error
		if w, err = k.Open(ln.ctx); err != nil {
			return nil, err
		}
		return commitOrClose(sp, w), nil
	})
	place := func() int32 { return sp.busy }
	if !k.inside {
		place = sp.outside
	}
	if kernelFlow(b, s, k, ln, sp, &w) {
		return
	}
	out := link[T]{
		to:    sg,
		fused: true,
		push: func(batch []T) error {
			ln.enter(place())
			if err := ln.ended(); err != nil {
				return err
			}
			sg.in.Add(int64(len(batch)))
			n, err := w.Write(batch)
			if err == nil && n < len(batch) {
				err = io.ErrShortWrite
			}
			return sp.fail(err)
		},
		end: func() error { return nil },
	}
	s.attach(b, ln, out, !k.inside && s.n != nil && s.n.work)
}

// commitOrClose ends a sink: with Commit first if the flow succeeded. Commit is
// not interrupted.
func commitOrClose(sp *spot, w any) func(error) error {
	g := guardIO(sp, w, writeDeadline)
	return func(cause error) error {
		g.stop()
		var err error
		if c, ok := w.(interface{ Commit() error }); ok && cause == nil {
			if g.closed {
				err = context.Cause(sp.ln.ctx)
			} else {
				err = c.Commit()
			}
		}
		return errors.Join(err, g.end(cause))
	}
}

// ToWriter makes a sink of w. It closes w, if w is an [io.Closer], when the
// flow ends; wrap w in [KeepOpen] to prevent that.
func ToWriter(w io.Writer) Sink[byte] {
	k := Sink[byte]{Name: "write"}
	if w == nil {
		k.Err = errors.New("its writer is nil")
	}
	k.Open = func(context.Context) (Writer[byte], error) { return w, nil }
	k.target = writerTarget(w)
	return k
}

// Each makes a sink that calls f with every value. A value of f's error ends
// the flow; [ErrStop] ends it well.
func Each[T any](f func(ctx context.Context, v T) error) Sink[T] {
	if f == nil {
		return Sink[T]{Name: "each", Err: errNilFunc}
	}
	k := EachBatch(func(ctx context.Context, batch []T) error {
		for _, v := range batch {
			if err := f(ctx, v); err != nil {
				return err
			}
		}
		return nil
	})
	k.Name = "each"
	return k
}

// EachBatch makes a sink that calls f with every batch, which it may neither
// change nor keep.
func EachBatch[T any](f func(ctx context.Context, batch []T) error) Sink[T] {
	k := Sink[T]{Name: "each batch", inside: true}
	if f == nil {
		k.Err = errNilFunc
	}
	k.Open = func(ctx context.Context) (Writer[T], error) { return funcWriter[T]{ctx, f}, nil }
	return k
}

type funcWriter[T any] struct {
	ctx context.Context
	f   func(context.Context, []T) error
}

func (w funcWriter[T]) Write(batch []T) (int, error) {
	if err := w.f(w.ctx, batch); err != nil {
		return 0, err
	}
	return len(batch), nil
}

// ToChan makes a sink that sends every value to ch. It does not close ch.
func ToChan[T any](ch chan<- T) Sink[T] {
	k := Each(func(ctx context.Context, v T) error {
		select {
		case ch <- v:
			return nil
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	})
	k.Name, k.inside = "channel", false
	if ch == nil {
		k.Err = errors.New("its channel is nil")
	}
	return k
}

// Discard is a sink that takes everything.
func Discard[T any]() Sink[T] {
	k := EachBatch(func(context.Context, []T) error { return nil })
	k.Name = "discard"
	return k
}

// KeepOpen returns rw, an [io.Reader] or [io.Writer], without its Close, for
// sources and sinks that must not close what they were given. Deadlines still
// reach it, so that a blocked call can be interrupted; when the flow has ended
// such a deadline is cleared.
func KeepOpen[RW any](rw RW) KeptOpen[RW] { return KeptOpen[RW]{rw} }

// KeptOpen is what [KeepOpen] returns.
type KeptOpen[RW any] struct{ rw RW }

func (KeptOpen[RW]) keptOpen() {}

func (k KeptOpen[RW]) Read(p []byte) (int, error) {
	if r, ok := any(k.rw).(io.Reader); ok {
		return r.Read(p)
	}
	return 0, errors.ErrUnsupported
}

func (k KeptOpen[RW]) Write(p []byte) (int, error) {
	if w, ok := any(k.rw).(io.Writer); ok {
		return w.Write(p)
	}
	return 0, errors.ErrUnsupported
}

// SetReadDeadline passes the deadline on, if the reader has one.
func (k KeptOpen[RW]) SetReadDeadline(t time.Time) error {
	if set := readDeadline(k.rw); set != nil {
		return set(t)
	}
	return errors.ErrUnsupported
}

// SetWriteDeadline passes the deadline on, if the writer has one.
func (k KeptOpen[RW]) SetWriteDeadline(t time.Time) error {
	if set := writeDeadline(k.rw); set != nil {
		return set(t)
	}
	return errors.ErrUnsupported
}
