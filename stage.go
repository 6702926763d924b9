package weir

import (
	"context"
	"errors"
	"fmt"
	"io"

	"github.com/weir-go/weir/report"
)

// Stage turns a stream of In into a stream of Out. Set either Open or Run. A
// Stage is a description; each run of a flow makes its own instance.
type Stage[In, Out any] struct {
	// Name appears in errors, reports and profiles.
	Name string

	// Open makes a running instance, which gets one batch after the other.
	// Such stages are fused with their neighbours into one goroutine.
	Open func(ctx context.Context) (Transform[In, Out], error)

	// Run reads in until [io.EOF] and writes to out until it returns. It gets a
	// separate goroutine; no other goroutine may use in and out. If In and Out are
	// bytes, in is an [io.Reader] and an [io.WriterTo], and out is an [io.Writer]
	// and an [io.ReaderFrom] that reads directly into the next pipe's memory. Run
	// must return an error from out. Returning nil before the end of the input, or
	// [ErrStop], means that Run needs no more input.
	//
	// A Run that waits for stages downstream otherwise than in Write, because it
	// must not run too far ahead of them, for example, waits in a function that it
	// passes to the method Blocked(func()) of out. The report then counts the wait
	// as blocked, not as busy. The wait must end with ctx.
	Run func(ctx context.Context, in Reader[In], out Writer[Out]) error

	// Heavy asks for a separate goroutine for a stage made by Open.
	Heavy bool

	// Workers is the number of goroutines that the stage runs itself, for
	// Explain.
	Workers int

	// Holds is the largest number of bytes that an instance holds, apart from
	// values: its buffers, windows and tables. It is part of the flow's ceiling.
	Holds int64

	// Holders is the largest number of values that an instance holds in
	// addition, if values differ in size. 0 means one value of Out, which the
	// instance has made and not yet passed on. A negative number means none,
	// because the instance only passes on the values that it gets, or because
	// Holds covers those that it makes. For a stage made by Run, the ceiling also
	// includes 64 KiB and one value of In, for its last Read.
	Holders int

	// Copies is the largest number of copies of the contents of one value of In
	// that an instance holds in addition to Holds. An encoder whose buffer grows
	// with the value holds one, for instance.
	Copies int

	// Uncovered describes the part of an instance's memory that Holds cannot
	// cover, such as "what its keys refer to". The flow's ceiling lists it. Empty
	// means that there is none.
	Uncovered string

	// Err is an error in the arguments of the stage's constructor. Run returns
	// it before it opens anything.
	Err error

	// Limits says that the stage makes values wait on purpose, for instance to
	// keep to a rate. If it is the bottleneck, the verdict says that it is a
	// limit.
	Limits bool

	// compose builds the stage from streams, instead of Open and Run.
	compose func(Stream[In]) Stream[Out]

	// node makes a stage that builds its own lanes.
	node func(Stream[In], Stage[In, Out]) node[Out]
}

// Transform is a running instance of a stage. Its methods are called from one
// goroutine at a time. If it is an [io.Closer] it is closed exactly once,
// however the flow ends.
type Transform[In, Out any] interface {
	// Do processes a batch, which it must neither change nor keep, and passes
	// the results to emit. emit waits while the flow downstream is full, and
	// does not keep its argument. It returns an error when downstream needs no
	// more; Do must return that error. Do returns [ErrStop] if it needs no more
	// input.
	Do(ctx context.Context, in []In, emit func([]Out) error) error

	// Flush is called once after the last batch, unless the flow failed.
	Flush(ctx context.Context, emit func([]Out) error) error
}

// Via passes the stream through a stage that changes its type.
func Via[In, Out any](s Stream[In], st Stage[In, Out]) Stream[Out] {
	if st.compose != nil && st.Err == nil {
		return st.compose(s)
	}
	if st.node != nil {
		return newStream(st.node(s, st))
	}
	n := node[Out]{name: st.Name, work: true, err: checkStage(st.Err, st.Open != nil, st.Run != nil, st.Holds, st.Copies), roots: rootsOf(s), size: sizedAs[Out](s)}
	if st.Run != nil {
		n.build = func(n *node[Out], b *plan, ln *lane, out link[Out]) { buildRun(n, b, ln, out, s, st) }
	} else {
		n.build = func(n *node[Out], b *plan, ln *lane, out link[Out]) { buildOpen(n, b, ln, out, s, st) }
	}
	return newStream(n)
}

// sizedAs returns the user's size function for the values of s, for a stream of
// values of the same type, and nil if the type is another one.
func sizedAs[Out, In any](s Stream[In]) func(Out) int {
	if s.n == nil {
		return nil
	}
	f, _ := any(s.n.size).(func(Out) int)
	return f
}

// sizedAsOneOf is sizedAs for a stream with the values of several streams: it
// returns the first size function of theirs.
func sizedAsOneOf[T any](streams []Stream[T]) func(T) int {
	for _, s := range streams {
		if f := sizedAs[T](s); f != nil {
			return f
		}
	}
	return nil
}

// checkStage returns the error in the fields of a [Stage].
func checkStage(err error, open, run bool, holds int64, copies int) error {
	switch {
	case err != nil:
		return err
	case !open && !run:
		return errors.New("neither Open nor Run; set one of them")
	case open && run:
		return errors.New("both Open and Run; set one of them")
	case holds < 0:
		return fmt.Errorf("negative Holds %d", holds)
	case copies < 0:
		return fmt.Errorf("negative Copies %d", copies)
	}
	return nil
}

// Do makes a stage from a function that is called with each batch. name, f
// and flush are as in [Transform]; flush may be nil.
//
// Variables that f captures outlive the run, and flows that use the stage at
// the same time share them. Use [DoWith] for a stage that has to remember
// something.
func Do[In, Out any](name string,
	f func(ctx context.Context, in []In, emit func([]Out) error) error,
	flush func(ctx context.Context, emit func([]Out) error) error,
) Stage[In, Out] {
	st := Stage[In, Out]{Name: name}
	if f == nil {
		st.Err = errNilFunc
		return st
	}
	st.Open = func(context.Context) (Transform[In, Out], error) {
		return funcTransform[In, Out]{f, flush}, nil
	}
	return st
}

var errNilFunc = errors.New("nil function")

// DoWith is [Do] for functions that remember something from batch to batch. start
// makes the state for each run, when the flow opens; its context ends with the
// flow. If the state is an [io.Closer] it is closed exactly once, when the stage
// ends. flush may be nil.
//
//	sums := weir.DoWith("sum", func(context.Context) (*int, error) { return new(int), nil }, add, emitSum)
func DoWith[In, Out, S any](name string,
	start func(ctx context.Context) (S, error),
	f func(ctx context.Context, state S, in []In, emit func([]Out) error) error,
	flush func(ctx context.Context, state S, emit func([]Out) error) error,
) Stage[In, Out] {
	st := Stage[In, Out]{Name: name}
	if start == nil || f == nil {
		st.Err = errNilFunc
		return st
	}
	st.Open = func(ctx context.Context) (Transform[In, Out], error) {
		state, err := start(ctx)
		if err != nil {
			return nil, err
		}
		return &stateTransform[In, Out, S]{state, f, flush}, nil
	}
	return st
}

type stateTransform[In, Out, S any] struct {
	state S
	do    func(context.Context, S, []In, func([]Out) error) error
	flush func(context.Context, S, func([]Out) error) error
}

func (t *stateTransform[In, Out, S]) Do(ctx context.Context, in []In, emit func([]Out) error) error {
	return t.do(ctx, t.state, in, emit)
}

func (t *stateTransform[In, Out, S]) Flush(ctx context.Context, emit func([]Out) error) error {
	if t.flush == nil {
		return nil
	}
	return t.flush(ctx, t.state, emit)
}

func (t *stateTransform[In, Out, S]) Close() error {
	if c, ok := any(t.state).(io.Closer); ok {
		return c.Close()
	}
	return nil
}

type funcTransform[In, Out any] struct {
	do    func(context.Context, []In, func([]Out) error) error
	flush func(context.Context, func([]Out) error) error
}

func (t funcTransform[In, Out]) Do(ctx context.Context, in []In, emit func([]Out) error) error {
	return t.do(ctx, in, emit)
}

func (t funcTransform[In, Out]) Flush(ctx context.Context, emit func([]Out) error) error {
	if t.flush == nil {
		return nil
	}
	return t.flush(ctx, emit)
}

// extra returns how many values of Out an instance may hold beyond Holds.
func extraValues(holders int) int {
	if holders == 0 {
		return 1
	}
	return max(0, holders)
}

// declare adds to sg the declarations of st about its memory, except Holds and
// Holders.
func declare[In, Out any](b *plan, sg *stage, s Stream[In], st Stage[In, Out]) {
	if st.Copies > 0 && measured(sizedAs[In](s)) != nil {
		sg.beyond = beyond{sg.beyond.values + st.Copies, b.maxValue}
	}
	if st.Uncovered != "" {
		sg.uncovered = append(sg.uncovered, sg.name+" ("+st.Uncovered+")")
	}
}

func buildOpen[In, Out any](n *node[Out], b *plan, ln *lane, out link[Out], s Stream[In], st Stage[In, Out]) {
	sg := addStage[In, Out](b, n.name, report.KindStage, out.to)
	sg.holds, sg.limits = st.Holds, st.Limits
	sp := ln.place(sg)
	out = linkFrom(out, sp, makes(b, sg, n.size, extraValues(st.Holders)))
	declare(b, sg, s, st)
	var tr Transform[In, Out]
	b.open(sp, func() (func(error) error, error) {
		var err error
		if tr, err = st.Open(sp.ctx); err != nil {
			return nil, err
		}
		if g, ok := tr.(interface{ gatherFor(link[Out]) }); ok {
			g.gatherFor(out)
		}
		if p, ok := tr.(interface{ follow(*spot) }); ok {
			p.follow(sp)
		}
		if c, ok := tr.(io.Closer); ok {
			return func(error) error { return c.Close() }, nil
		}
		return nil, nil
	})
	s.n.attach(b, ln, pushLink(sp, &tr, out), st.Heavy)
}

// pushLink is the running form of a transform inside a lane.
func pushLink[In, Out any](sp *spot, tr *Transform[In, Out], out link[Out]) link[In] {
	ln, sg := sp.ln, sp.st
	emit := func(batch []Out) error {
		if ln.broken != nil {
			return ln.broken
		}
		if len(batch) == 0 {
			return nil
		}
		sg.out.Add(int64(len(batch)))
		if sp.emitsLast && !out.fused {
			ln.Enter(sp.busy) // a pipe reads the clock only when it is full
		}
		err := out.push(batch)
		if out.fused {
			ln.Back(sp.busy)
		}
		if err != nil && ln.broken == nil {
			ln.broken = err
		}
		return err
	}
	ended := false
	end := func() error {
		if ended {
			return nil
		}
		ended = true
		ln.Enter(sp.busy)
		if err := (*tr).Flush(sp.ctx, emit); !isStop(err) || ln.broken != nil {
			if err := sp.fail(err); err != nil {
				return err
			}
		}
		return sp.finish(out.end)
	}
	in := link[In]{
		to:    sg,
		fused: true,
		end:   end,
		push: func(batch []In) error {
			ln.Enter(sp.busy)
			sg.in.Add(int64(len(batch)))
			err := (*tr).Do(sp.ctx, batch, emit)
			if !sp.emitsLast {
				ln.Stale()
			}
			if err == nil && ln.broken == nil {
				return nil
			}
			if ln.broken == nil && isStop(err) {
				return sp.enoughFrom(end)
			}
			return sp.fail(err)
		},
	}
	if most := out.most; most > 0 && !isByte[In]() {
		in.most = most
		do := in.push
		in.push = func(batch []In) error {
			for ; len(batch) > most; batch = batch[most:] {
				if err := do(batch[:most:most]); err != nil {
					return err
				}
			}
			return do(batch)
		}
	}
	return in
}

func buildRun[In, Out any](n *node[Out], b *plan, ln *lane, out link[Out], s Stream[In], st Stage[In, Out]) {
	sg := addStage[In, Out](b, n.name, report.KindStage, out.to)
	sg.holds, sg.limits = st.Holds, st.Limits
	sp := ln.place(sg)
	out = linkFrom(out, sp, makes(b, sg, n.size, extraValues(st.Holders)))
	declare(b, sg, s, st)
	if !s.n.check(b, sg) {
		return
	}
	p := s.n.pipe(b, ln, sg)
	if p.Gate().Measures() { // the values that Read takes out of the pipe
		sg.holds += maxSegment
		sg.beyond = beyond{sg.beyond.values + 1, b.maxValue}
	}
	ln.main = func() error {
		in := &laneReader[In]{sp: sp, p: p}
		w := &laneWriter[Out]{sp: sp, out: out}
		ln.Enter(sp.busy)
		err := st.Run(sp.ctx, in, w)
		if err != nil && !isStop(err) || ln.broken != nil {
			if in.failed != nil && ln.broken == nil {
				return in.failed
			}
			return sp.fail(err)
		}
		if in.failed != nil {
			return in.failed
		}
		return sp.enoughFrom(out.end)
	}
}

// Compose makes one stage of all steps that f adds to a stream, such as stages,
// maps with workers and calls of [Stream.Async]. f is called when the stage is
// used, and starts nothing.
func Compose[In, Out any](name string, f func(Stream[In]) Stream[Out]) Stage[In, Out] {
	st := Stage[In, Out]{Name: name, compose: f}
	if f == nil {
		st.Err = errNilFunc
	}
	return st
}
