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
	if k.Err == nil && k.Open == nil {
		k.Err = errors.New("no Open function")
	}
	se := newSink(b, k.Name, isByte[T](), k.Holds, k.Err)
	if se == nil {
		return
	}
	se.inside = k.inside
	ln := se.sp.ln
	var w Writer[T]
	se.opens(b, k.given, func() (any, error) {
		var err error
		w, err = k.Open(ln.ctx)
		return w, err
	})
	n := s.n
	if n != nil && n.err == nil && !n.async {
		if path := kernelPath(k.Like, n.origin); path != "" && n.check(b, se.sp.st) {
			kernelFlow(b, n.name, n.origin, k.Like, path, ln, se)
			return
		}
	}
	n.attach(b, ln, link[T]{
		to:    se.sp.st,
		fused: true,
		push: func(batch []T) error {
			if err := se.takes(len(batch)); err != nil {
				return err
			}
			n, err := w.Write(batch)
			return se.took(n, len(batch), err)
		},
		end: se.finish,
	}, !k.inside && n != nil && n.work)
}

// newSink adds a sink, at the end of a lane of its own. It returns nil if the sink
// has an error, such as err, which the plan then has.
func newSink(b *plan, name string, bytes bool, holds int64, err error) *sinkEnd {
	sp := b.newLane().place(b.addStage(name, report.KindSink, nil, bytes, bytes))
	sp.st.holds = holds
	if err == nil && holds < 0 {
		err = fmt.Errorf("negative Holds %d", holds)
	}
	if err != nil {
		b.fail(name, err)
		return nil
	}
	return &sinkEnd{sp: sp}
}

// sinkEnd runs a sink, except for its Write, which depends on the type of its values.
// It ends it at the end of its stream or, if it has a Commit, at the end of the whole
// flow.
type sinkEnd struct {
	sp     *spot
	inside bool // see Sink
	w      any  // nil: not opened, or closed
	guard  *ioGuard
	ready  bool // its stream has ended well, and it waits for the flow
}

// opens lets a run open the sink with open. g is what the user gave for it; nil:
// nothing.
func (k *sinkEnd) opens(b *plan, g *given, open func() (any, error)) {
	if g != nil {
		b.halves = append(b.halves, half{g.x, k.sp.ln})
	}
	b.sinks = append(b.sinks, k)
	b.open(k.sp, func() (func(error) error, error) {
		if g != nil {
			g.used.Store(true)
		}
		w, err := open()
		if err != nil {
			return nil, err
		}
		k.opened(w)
		return k.ended, nil
	})
}

func (k *sinkEnd) opened(w any) {
	k.w, k.ready = w, false
	k.guard = guardIO(k.sp, w, writeDeadline)
}

// enter sets the lane's clock to the time of the sink's own code.
func (k *sinkEnd) enter() {
	place := k.sp.busy
	if !k.inside {
		place = k.sp.outside()
	}
	k.sp.ln.Enter(place)
}

// takes is called before a Write of n values.
func (k *sinkEnd) takes(n int) error {
	k.enter()
	if err := k.sp.ln.ended(); err != nil {
		return err
	}
	k.sp.st.in.Add(int64(n))
	return nil
}

// took returns the error of the lane after a Write of of values has returned n and
// err.
func (k *sinkEnd) took(n, of int, err error) error {
	if err == nil && n < of {
		err = io.ErrShortWrite
	}
	if isStop(err) {
		return k.sp.enoughFrom(k.finish)
	}
	return k.sp.fail(err)
}

// finish is the clean end of the sink's stream.
func (k *sinkEnd) finish() error {
	k.enter()
	return k.sp.finish(func() error { return nil })
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
