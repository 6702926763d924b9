package weir

import (
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/weir-go/weir/report"
)

// Sink is the end of a stream. A Sink is a description; each run of a flow
// opens it again.
type Sink[T any] struct {
	// Name appears in errors, reports and profiles.
	Name string

	// Open returns the running sink. When its stream ends without an error, the
	// flow first closes everything upstream. Then:
	//
	//   - A writer without a method Commit() error is closed, if it is an
	//     [io.Closer]. Its Close is its commit: it says whether the sink has
	//     taken everything. This is right if the other side waits for the end of
	//     the stream, as with a pipe, a socket or a command's standard input.
	//   - A writer with Commit waits until all streams of the flow, including
	//     those of joined flows, have ended without an error. Then the flow calls
	//     Prepare() error of all writers that have it, which does the work that
	//     can fail, such as writing data to stable storage. Then all commit, one
	//     after the other, and then all are closed.
	//
	// If the stream fails, the flow calls the writer's CloseWithError(error)
	// error with the cause if it has that method, and Close otherwise. However
	// the flow ends, it closes a writer exactly once. Run returns the errors of
	// all these methods.
	//
	// If the flow ends while Write waits, it interrupts Write with
	// SetWriteDeadline if the writer has that method, and by closing the writer
	// otherwise. A Write that needs no more input returns [ErrStop].
	//
	// A writer with a method Peer() string names what Write waits for, and one with
	// a method Edge() report.Edge describes the edge it writes, as for a [Source].
	Open func(ctx context.Context) (Writer[T], error)

	// Holds is the largest number of bytes that a running sink holds, apart from
	// the batch that it is given: parts that wait to be sent, for example. It is
	// part of the flow's ceiling, and a flow with a [Budget] takes it before it
	// opens anything.
	Holds int64

	// Err is an error in the arguments of the sink's constructor. Run returns it
	// before it opens anything.
	Err error

	// Like, if it is not nil, is a writer of the type that Open returns, such as
	// a nil *os.File or *net.TCPConn, or a type around a file with the methods
	// OSFile() *os.File and Moved(n int64, err error) error. If no stage has to
	// see the bytes of a Sink[byte], the kernel can then move them from the source
	// directly to that file or connection. The flow then calls Moved instead of
	// Write, with the number of bytes that the file took and the error of the
	// system call. Moved returns the error for the flow. See [Copy] for the system
	// calls.
	Like Writer[T]

	inside bool // Write is the user's own code, not the outside world
	given  *given
}

func buildSink[T any](b *plan, s Stream[T], k Sink[T]) {
	ln := b.newLane()
	sg := addStage[T, T](b, k.Name, report.KindSink, nil)
	sp := ln.place(sg)
	if k.Err == nil && k.Open == nil {
		k.Err = errors.New("no Open function")
	}
	if k.Err == nil && k.Holds < 0 {
		k.Err = fmt.Errorf("negative Holds %d", k.Holds)
	}
	sg.holds = k.Holds
	if k.Err != nil {
		b.fail(k.Name, k.Err)
		return
	}
	if k.given != nil {
		b.halves = append(b.halves, half{k.given.x, ln})
	}
	var w Writer[T]
	se := &sinkEnd{sp: sp}
	b.sinks = append(b.sinks, se)
	b.open(sp, func() (func(error) error, error) {
		if k.given != nil {
			k.given.used.Store(true)
		}
		var err error
		if w, err = k.Open(ln.ctx); err != nil {
			return nil, err
		}
		se.opened(w)
		return se.ended, nil
	})
	place := func() int32 { return sp.busy }
	if !k.inside {
		place = sp.outside
	}
	if n := s.n; n != nil && n.err == nil && !n.async {
		if path := kernelPath(k.Like, n.origin); path != "" && n.check(b, sg) {
			kernelFlow(b, n.name, n.origin, k.Like, path, ln, se)
			return
		}
	}
	end := func() error {
		ln.Enter(place())
		return sp.finish(func() error { return nil })
	}
	out := link[T]{
		to:    sg,
		fused: true,
		push: func(batch []T) error {
			ln.Enter(place())
			if err := ln.ended(); err != nil {
				return err
			}
			sg.in.Add(int64(len(batch)))
			n, err := w.Write(batch)
			if err == nil && n < len(batch) {
				err = io.ErrShortWrite
			}
			if isStop(err) {
				return sp.enoughFrom(end)
			}
			return sp.fail(err)
		},
		end: end,
	}
	s.n.attach(b, ln, out, !k.inside && s.n != nil && s.n.work)
}

// sinkEnd ends a running sink: at the end of its stream or, if it has a Commit,
// at the end of the whole flow.
type sinkEnd struct {
	sp    *spot
	w     any // nil: not opened, or closed
	guard *ioGuard
	ready bool // its stream has ended well, and it waits for the flow
}

func (k *sinkEnd) opened(w any) {
	k.w, k.ready = w, false
	k.guard = guardIO(k.sp, w, writeDeadline)
}

// ended is called when the lane of the sink has ended, with why.
func (k *sinkEnd) ended(cause error) error {
	k.guard.stop()
	if cause == nil && k.guard.closed {
		cause = context.Cause(k.sp.ln.ctx)
		return also(cause, k.close(cause))
	}
	if _, ok := k.w.(interface{ Commit() error }); ok && cause == nil {
		k.ready = true
		return nil
	}
	return k.close(cause)
}

func (k *sinkEnd) close(cause error) error {
	k.w = nil
	return k.guard.end(cause)
}

// prepare, commit and end concern sinks that are ready. They are called by the
// goroutine of Run, after all lanes have ended.
func (k *sinkEnd) prepare() error {
	if p, ok := k.w.(interface{ Prepare() error }); ok && k.ready {
		return protect(k.sp.st.name, k.sp.st.timed(p.Prepare))
	}
	return nil
}

func (k *sinkEnd) commit() error {
	if c, ok := k.w.(interface{ Commit() error }); ok && k.ready {
		return protect(k.sp.st.name, k.sp.st.timed(c.Commit))
	}
	return nil
}

func (k *sinkEnd) end(cause error) error {
	if !k.ready {
		return nil
	}
	k.ready = false
	return protect(k.sp.st.name, k.sp.st.timed(func() error { return k.close(cause) }))
}

// ToWriter makes a sink of w. If w is an [io.Closer], the flow closes it when the
// stream ends or fails, even if the flow fails before it starts; wrap w in
// [KeepOpen] to prevent that. An [io.PipeWriter] gets the error of the flow.
func ToWriter(w io.Writer) Sink[byte] {
	k := Sink[byte]{Name: "write"}
	if w == nil {
		k.Err = errors.New("nil writer")
	}
	k.Open = func(context.Context) (Writer[byte], error) { return w, nil }
	k.given = &given{x: w}
	k.Like = w
	return k
}

// Each makes a sink that calls f with every value. An error of f ends the flow;
// [ErrStop] ends it without an error.
func Each[T any](f func(ctx context.Context, v T) error) Sink[T] {
	if f == nil {
		return Sink[T]{Name: "each", Err: errNilFunc}
	}
	k := EachBatch(func(ctx context.Context, batch []T) error {
		for _, v := range batch {
			if ctx.Err() != nil {
				return context.Cause(ctx)
			}
			if err := f(ctx, v); err != nil {
				return err
			}
		}
		return nil
	})
	k.Name = "each"
	return k
}

// EachBatch makes a sink that calls f with every batch. f must neither change
// nor keep the batch.
func EachBatch[T any](f func(ctx context.Context, batch []T) error) Sink[T] {
	k := Sink[T]{Name: "each batch", inside: true}
	if f == nil {
		k.Err = errNilFunc
	}
	k.Open = func(ctx context.Context) (Writer[T], error) { return &funcWriter[T]{ctx, f}, nil }
	return k
}

type funcWriter[T any] struct {
	ctx context.Context
	f   func(context.Context, []T) error
}

func (w *funcWriter[T]) Write(batch []T) (int, error) {
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
		k.Err = errors.New("nil channel")
	}
	return k
}

// Discard makes a sink that drops every value.
func Discard[T any]() Sink[T] {
	k := EachBatch(func(context.Context, []T) error { return nil })
	k.Name = "discard"
	return k
}

// KeepOpen wraps x, an [io.Reader] or [io.Writer], so that a source or sink does
// not close it. Deadlines still reach x, so that a flow can interrupt a blocked
// call; the flow clears such a deadline when it has ended. Read or Write returns
// [errors.ErrUnsupported] if x has no such method.
func KeepOpen(x any) io.ReadWriter { return keptOpen{x} }

type keptOpen struct{ x any }

func (keptOpen) keptOpen() {}

func (k keptOpen) Read(p []byte) (int, error) {
	if r, ok := k.x.(io.Reader); ok {
		return r.Read(p)
	}
	return 0, errors.ErrUnsupported
}

func (k keptOpen) Write(p []byte) (int, error) {
	if w, ok := k.x.(io.Writer); ok {
		return w.Write(p)
	}
	return 0, errors.ErrUnsupported
}

// SetReadDeadline passes the deadline on, if the reader has one.
func (k keptOpen) SetReadDeadline(t time.Time) error {
	if set := readDeadline(k.x); set != nil {
		return set(t)
	}
	return errors.ErrUnsupported
}

// SetWriteDeadline passes the deadline on, if the writer has one.
func (k keptOpen) SetWriteDeadline(t time.Time) error {
	if set := writeDeadline(k.x); set != nil {
		return set(t)
	}
	return errors.ErrUnsupported
}

// ToPipe makes a sink of the write half of a pipe. The flow closes the pipe when
// the stream ends or fails, even if the flow fails before it starts. After the
// values, readers get the flow's error or [io.EOF].
func ToPipe[T any](w *PipeWriter[T]) Sink[T] {
	k := Sink[T]{Name: "pipe"}
	if w == nil {
		k.Err = errors.New("nil pipe")
	} else {
		k.given = &given{x: w}
	}
	k.Open = func(ctx context.Context) (Writer[T], error) { return &pipeSink[T]{ctx, w}, nil }
	return k
}

// pipeSink has its pipe in a field with a name: the compiler would make all methods of
// an embedded one again, for each type of value.
type pipeSink[T any] struct {
	ctx context.Context
	w   *PipeWriter[T]
}

func (s *pipeSink[T]) Write(batch []T) (int, error) { return s.w.SendBatch(s.ctx, batch) }

func (s *pipeSink[T]) Close() error { return s.w.Close() }

func (s *pipeSink[T]) CloseWithError(cause error) error { return s.w.CloseWithError(cause) }

func (*pipeSink[T]) endsWithContext() {}
