package durable

import (
	"context"
	"errors"
	"fmt"
	"io"
	"runtime/debug"
	"sync/atomic"
	"time"

	"github.com/weir-go/weir"
	"github.com/weir-go/weir/endpoint"
	"github.com/weir-go/weir/internal/units"
	"github.com/weir-go/weir/report"
)

// Options are the options of [Flow]. The zero value copies.
type Options struct {
	// Stage, if it is not nil, is between the source and the sink.
	Stage *Stage

	// Before and After are stages in front of Stage and behind it that pass on
	// all bytes unchanged: limits of the rate, buffers, timeouts. The next run can
	// have others.
	Before, After []weir.Stage[byte, byte]

	// Opened, if it is not nil, is called with the checkpoint at which a run
	// begins, before it reads anything.
	Opened func(Checkpoint)
}

// Flow returns a flow from src to sink. Each run opens the sink, reads its
// checkpoint, and continues the source and the stage there. It fails with
// [endpoint.ErrChanged] if the source has another version than at the checkpoint,
// and with [ErrOther] if the stage has another name. A run whose sink has the
// whole stream already succeeds without reading.
//
// The flow saves a checkpoint after every 8 MiB of output, and at the latest
// 250 ms after something was written, and then tells the source. At the end of
// the source it commits, without waiting for flows that it is joined with. If
// anything ends the flow before, everything that was saved stays, and the next
// run continues. That includes [weir.Flow.Stop], after which Run returns
// [ErrStopped]. A sink that others read while it is written, such as an edge, must
// not be stopped so behind a stage, because a stage takes the stop for the end.
func Flow(src Source, sink Sink, o Options) *weir.Flow {
	f := &flow{src: src, sink: sink, Options: o}
	from := weir.Source[byte]{Name: src.Name(), Holds: src.Holds(), Open: f.open}
	to := weir.Sink[byte]{Name: sink.Name(), Holds: sink.Holds(), Open: f.openSink}
	s := weir.From(from)
	for _, st := range o.Before {
		s = s.Through(st)
	}
	if o.Stage != nil {
		s = s.Through(o.Stage.Resume(f.from, f.at))
	}
	for _, st := range o.After {
		s = s.Through(st)
	}
	return s.To(to)
}

// flow is a flow between its runs.
type flow struct {
	src  Source
	sink Sink
	Options

	run atomic.Pointer[run] // the latest
}

// run is one run of a flow.
type run struct {
	*flow
	begin   Checkpoint
	version string // of the source
	whole   bool   // the sink had everything already
	refused error  // why the sink did not open
	track   track
	ctx     context.Context // of the sink
	cancel  context.CancelCauseFunc
	handed  atomic.Bool // the sink is closed, or its lane will close it

	read   atomic.Int64 // bytes of the source before the reader
	ended  atomic.Bool  // the reader came to the end of the source
	failed chan error   // of a checkpoint that nobody waited for; holds 1
}

// open begins a run: it opens the sink first, because its checkpoint says where
// the source begins.
func (f *flow) open(ctx context.Context) (weir.Reader[byte], error) {
	r := &run{flow: f, failed: make(chan error, 1)}
	f.run.Store(r)
	// The sink outlives the source, and so does its context.
	r.ctx, r.cancel = context.WithCancelCause(context.WithoutCancel(ctx))
	defer context.AfterFunc(ctx, func() { r.cancel(context.Cause(ctx)) })()
	if r.begin, r.refused = f.sink.Open(r.ctx); r.refused == nil {
		if c := r.begin; c.Source.Version != "" && c.Point.Stage != r.stageName() {
			r.refused = fmt.Errorf("%w: it was begun from %s %s, not %s", ErrOther, c.From, withStage(c.Point.Stage), withStage(r.stageName()))
			r.refused = errors.Join(r.refused, f.sink.Close())
		}
	}
	if r.refused != nil {
		r.handed.Store(true)
		r.cancel(nil)
		return nothing{r}, nil // it is an error of the sink
	}
	in, err := r.openSource(ctx)
	if err != nil {
		return nil, errors.Join(err, r.closeSink())
	}
	r.track.begin(r.begin)
	if f.Opened != nil {
		f.Opened(r.begin)
	}
	if r.whole {
		return nothing{r}, nil
	}
	return &reader{in, r}, nil
}

func (f *flow) openSink(ctx context.Context) (weir.Writer[byte], error) {
	r := f.run.Load()
	if r.refused != nil {
		return nil, r.refused
	}
	r.handed.Store(true)
	untie := context.AfterFunc(ctx, func() { r.cancel(context.Cause(ctx)) })
	w := &writer{run: r, untie: untie, turn: make(chan struct{}, 1), bytes: saveBytes, age: saveAge, idle: saveAge}
	if p, ok := f.sink.(interface {
		Pace() (bytes int64, age, idle time.Duration)
	}); ok {
		w.bytes, w.age, w.idle = p.Pace()
		w.bytes = max(w.bytes, 1)
	}
	return w, nil
}

// closeSink closes the sink, unless that is for its lane to do.
func (r *run) closeSink() (err error) {
	if !r.handed.Swap(true) {
		err = r.sink.Close()
		r.cancel(nil)
	}
	return err
}

// nothing is a source that has ended.
type nothing struct{ r *run }

func (nothing) Read([]byte) (int, error) { return 0, io.EOF }
func (n nothing) Close() error           { return n.r.closeSink() }

func (r *run) openSource(ctx context.Context) (in io.ReadCloser, err error) {
	c := &r.begin
	if r.version, err = r.src.Stat(ctx); err != nil && !c.End {
		return nil, err
	}
	known := err == nil
	if c.Source.Version != "" && c.Source.Version != r.version && known {
		s, forgets := r.sink.(interface{ Forget(context.Context) error })
		switch {
		case c.End && forgets:
		case c.From != from(r.src):
			err := fmt.Errorf("%w: it was begun from %s", ErrOther, c.From)
			return nil, &weir.StageError{Stage: r.sink.Name(), Err: err}
		default:
			return nil, fmt.Errorf("%w; %s of it had been read", endpoint.ErrChanged, units.Count(c.Source.Offset, "byte"))
		}
		if err := s.Forget(r.ctx); err != nil {
			return nil, err
		}
		*c = Checkpoint{}
	}
	if r.whole = c.End; r.whole {
		if !known {
			return nil, nil
		}
		return nil, r.src.Done(ctx, c.Source.Offset)
	}
	// A run can have been killed after it saved the checkpoint.
	if c.Source.Offset > 0 {
		if err := r.src.Done(ctx, c.Source.Offset); err != nil {
			return nil, err
		}
	}
	r.read.Store(c.Source.Offset)
	return r.src.Open(ctx, Position{r.version, c.Source.Offset})
}

func (r *run) stageName() string {
	if r.Stage == nil {
		return ""
	}
	return r.Stage.Name
}

// from returns the name of a source or a sink for messages: the result of its
// method String, if it has one.
func from(x interface{ Name() string }) string {
	if s, ok := x.(fmt.Stringer); ok {
		return s.String()
	}
	return x.Name()
}

func withStage(name string) string {
	if name == "" {
		return "without a stage"
	}
	return "with " + name
}

// from tells the stage where it begins.
func (f *flow) from() (in, out int64, state []byte) {
	r := f.run.Load()
	if r.whole || r.refused != nil {
		return 0, 0, nil // it gets nothing
	}
	c := &r.begin
	return c.Source.Offset, c.Point.Out, c.Point.State
}

// at takes a point of the stage.
func (f *flow) at(in, out int64, state []byte) { f.run.Load().track.at(in, out, state) }

// checkpoint returns the checkpoint at the present end of the output.
func (r *run) checkpoint() Checkpoint {
	c := Checkpoint{From: from(r.src), Source: Position{Version: r.version}}
	c.Source.Offset, c.Point, c.Offset, c.Sum = r.track.last()
	if r.Stage == nil {
		c.Source.Offset, c.Point = c.Offset, Point{}
	} else {
		c.Point.Stage = r.Stage.Name
	}
	return c
}

// reader is the source of a run.
type reader struct {
	io.ReadCloser
	r *run
}

func (r *reader) Read(p []byte) (int, error) {
	n, err := r.ReadCloser.Read(p)
	r.r.read.Add(int64(n))
	if err == io.EOF {
		r.r.ended.Store(true)
	}
	return n, err
}

// Close closes the source, and the sink too if another part of the flow did not
// open.
func (r *reader) Close() error { return errors.Join(r.ReadCloser.Close(), r.r.closeSink()) }

// SetReadDeadline interrupts a Read, if the source supports that.
func (r *reader) SetReadDeadline(t time.Time) error {
	if d, ok := r.ReadCloser.(interface{ SetReadDeadline(time.Time) error }); ok {
		return d.SetReadDeadline(t)
	}
	return errors.ErrUnsupported
}

// Peer names what Read waits for, if the source does.
func (r *reader) Peer() string { return peerOf(r.ReadCloser) }

// Edge describes the source, if it is an edge that can tell.
func (r *reader) Edge() report.Edge { return edgeOf(r.ReadCloser) }

func edgeOf(x any) report.Edge {
	if e, ok := x.(interface{ Edge() report.Edge }); ok {
		return e.Edge()
	}
	return report.Edge{}
}

func peerOf(x any) string {
	if p, ok := x.(interface{ Peer() string }); ok {
		return p.Peer()
	}
	return ""
}

// Watch ends the flow when a checkpoint fails while the source has nothing to
// read, and when the source notices a failure itself.
func (r *reader) Watch(ctx context.Context) error {
	if w, ok := r.ReadCloser.(interface{ Watch(context.Context) error }); ok {
		ended := make(chan error, 1)
		ctx, cancel := context.WithCancel(ctx)
		go guarded(func() error { return w.Watch(ctx) }, func(err error) { ended <- err })
		defer func() { <-ended }()
		defer cancel()
		select {
		case err := <-ended:
			ended <- nil
			if err != nil {
				return err
			}
		case err := <-r.r.failed:
			return err
		case <-ctx.Done():
			return nil
		}
	}
	select {
	case err := <-r.r.failed:
		return err
	case <-ctx.Done():
		return nil
	}
}

// guarded calls f, in a goroutine whose panic nobody else would catch, and then done with
// the error of f. A panic is an error, as in a flow, and so is the end of the goroutine.
func guarded(f func() error, done func(error)) {
	err := errors.New("called runtime.Goexit")
	defer func() {
		if p := recover(); p != nil {
			err = &weir.PanicError{Value: p, Stack: debug.Stack()}
		}
		done(err)
	}()
	err = f()
}
