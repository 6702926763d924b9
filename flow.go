package weir

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"runtime/pprof"
	"slices"
	"strings"
	"sync"
	"time"
)

// Flow is a stream that has met its sink: the only thing that can run. It is a
// description until then. Set its fields before Run; a Flow must not be copied
// after that.
type Flow struct {
	// Name appears in errors, logs and profiles.
	Name string

	// Limit is the limit of every pipe that was not given one of its own.
	Limit Limit

	// Budget, if not nil, is where the flow takes its memory from. Run waits
	// until the budget has what the flow needs to move.
	Budget *Budget

	// Grace is how long after the end a stage may ignore its context before
	// it is named. Zero means 5 seconds.
	Grace time.Duration

	// OnStuck is called, from the goroutine of Run, with the names of the
	// stages that still run when the grace period has passed. If it is nil
	// they are logged with [slog.Warn]. Run goes on waiting for them.
	OnStuck func(stages []string)

	build func(b *plan)

	// inBand lets values that were on their way arrive before a failure, for
	// consumers that take them one by one.
	inBand bool

	mu   sync.Mutex
	last *run // the current run, or the last one
}

// Join makes one flow of several, which may share parts: the branches of a
// [Tee] that end in different sinks run together. The first error ends them
// all.
func Join(flows ...*Flow) *Flow {
	return &Flow{build: func(b *plan) {
		if len(flows) == 0 {
			b.fail("join", errors.New("there is no flow to run"))
		}
		for _, f := range flows {
			if f == nil || f.build == nil {
				b.fail("join", errors.New("one of its flows is nil"))
				continue
			}
			f.build(b)
		}
	}}
}

// run is one execution of a flow.
type run struct {
	flow   *Flow
	plan   *plan
	ctx    context.Context
	cancel context.CancelCauseFunc
	start  int64
	stop   int64 // 0 while it runs; guarded by Flow.mu
	phases *phases
	err    error
	stuck  []string // guarded by Flow.mu

	mu    sync.Mutex
	first error // the first cause
	live  map[*lane]bool
	idle  chan struct{} // closed when no lane is left
}

// Run executes the flow and returns when everything it started has ended and
// is closed. Composition errors come before anything opens. The error is the
// first that happened, with the name of its stage ([StageError]); a panic in a
// stage comes back as a [PanicError]; when ctx ended first, the error matches
// both ctx.Err() and context.Cause(ctx).
//
// A flow can be run again if its sources can be opened again, but not while it
// runs: that is [ErrRunning].
func (f *Flow) Run(ctx context.Context) error {
	b, err := f.assemble()
	if err != nil {
		return err
	}
	if ctx.Err() != nil {
		return f.ended(ctx)
	}
	f.mu.Lock()
	if f.last != nil && f.last.stop == 0 {
		f.mu.Unlock()
		return ErrRunning
	}
	r := &run{flow: f, plan: b, live: map[*lane]bool{}, idle: make(chan struct{})}
	ctx, r.cancel = context.WithCancelCause(ctx)
	r.ctx = ctx
	r.start = now()
	r.phases = newPhases(b, r.start)
	for _, l := range b.lanes {
		l.prepare(ctx)
	}
	f.last = r
	f.mu.Unlock()

	err = r.run(ctx)

	for _, l := range b.lanes {
		l.cancel(err)
	}
	r.cancel(err)
	f.mu.Lock()
	r.stop, r.err = now(), err
	f.mu.Unlock()
	return err
}

func (r *run) run(ctx context.Context) error {
	if bud := r.flow.Budget; bud != nil {
		need := r.plan.fixed()
		for _, e := range r.plan.edges {
			need += e.join(bud)
		}
		r.phases.wait.begin()
		err := bud.Acquire(ctx, need)
		r.phases.wait.end()
		if err != nil {
			if ctx.Err() != nil {
				return r.flow.ended(ctx)
			}
			return wrapf(r.flow.doing(), err)
		}
		defer bud.Release(need)
	}
	closers, err := r.open()
	if err == nil {
		r.lanes(ctx)
		err = r.first
	}
	if err == nil && ctx.Err() != nil && !r.complete() {
		err = context.Cause(ctx)
	}
	if err != nil && ctx.Err() != nil && errors.Is(err, context.Cause(ctx)) && r.first == nil {
		err = r.flow.ended(ctx)
	}
	err = closeAll(closers, err)
	for _, e := range r.plan.edges {
		e.hangup(nil)
	}
	return err
}

// complete reports whether every lane came to its end by itself.
func (r *run) complete() bool {
	for _, l := range r.plan.lanes {
		if l.err != nil {
			return false
		}
	}
	return true
}

// ended is the error of a flow whose context has ended.
func (f *Flow) ended(ctx context.Context) error {
	err, cause := ctx.Err(), context.Cause(ctx)
	if !errors.Is(cause, err) {
		cause = fmt.Errorf("%w: %w", err, cause)
	}
	return wrapf(f.doing(), cause)
}

func (f *Flow) doing() string {
	if f.Name == "" {
		return "flow"
	}
	return "flow " + f.Name
}

type closer struct {
	sp    *spot
	close func(cause error) error
}

// open opens sources, stages and sinks, in this order. After a failure what
// was opened is still to be closed.
func (r *run) open() (closers []closer, err error) {
	for _, o := range slices.Backward(r.plan.opens) {
		var c func(error) error
		if err := protect(o.sp.st.name, o.sp.st.timed(func() (err error) { c, err = o.open(); return })); err != nil {
			if cause := context.Cause(o.sp.ln.ctx); cause != nil {
				err = cause
			}
			return closers, err
		}
		if c != nil {
			closers = append(closers, closer{o.sp, c})
		}
	}
	return closers, nil
}

// closeAll closes in reverse order. Sinks keep what they have only if nothing
// has failed until then.
func closeAll(closers []closer, err error) error {
	for _, c := range slices.Backward(closers) {
		cerr := protect(c.sp.st.name, c.sp.st.timed(func() error { return c.close(err) }))
		if err == nil {
			err = cerr
		}
	}
	return err
}

// protect names the stage in errors of f, and turns a panic into one.
func protect(name string, f func() error) (err error) {
	returned := false
	defer func() {
		if !returned {
			err = stageError(name, abnormal(recover()))
		}
	}()
	if err = f(); err != nil {
		err = stageError(name, err)
	}
	returned = true
	return err
}

// lanes runs all lanes and returns when the last has ended.
func (r *run) lanes(ctx context.Context) {
	r.mu.Lock()
	for _, l := range r.plan.lanes {
		if !l.inner {
			r.live[l] = true
		}
	}
	r.mu.Unlock()
	for _, l := range r.plan.lanes {
		if l.inner {
			continue
		}
		labels := pprof.Labels("weir_flow", r.flow.Name, "weir_stage", l.name())
		go pprof.Do(l.ctx, labels, func(context.Context) {
			l.run(func(err error) { r.done(l, err) })
		})
	}
	select {
	case <-r.idle:
		return
	case <-ctx.Done():
	}
	grace := r.flow.Grace
	if grace == 0 {
		grace = 5 * time.Second
	}
	timer := time.NewTimer(grace)
	defer timer.Stop()
	select {
	case <-r.idle:
	case <-timer.C:
		r.nameStuck()
		<-r.idle
	}
}

// done takes lane l off the list. The first failure ends all others.
func (r *run) done(l *lane, err error) {
	r.phases.ended(l)
	r.mu.Lock()
	defer r.mu.Unlock()
	var pe *PanicError
	// The end of the context reaches the lanes one after the other, and each
	// may hand it on.
	if err != nil && r.first == nil && (r.ctx.Err() == nil || errors.As(err, &pe)) {
		r.first = err
		if r.flow.inBand {
			r.endAllBut(l.downstream(r.plan.lanes), err)
		} else {
			r.cancel(err)
		}
	}
	delete(r.live, l)
	if len(r.live) == 0 {
		close(r.idle)
	}
}

// endAllBut cancels all lanes but those that will find the error behind what
// they have to deliver yet.
func (r *run) endAllBut(spared map[*lane]bool, err error) {
	for _, l := range r.plan.lanes {
		if !spared[l] {
			l.cancel(err)
		}
	}
}

// nameStuck reports the stages that ignore the end of their context.
func (r *run) nameStuck() {
	r.mu.Lock()
	var names []string
	for _, l := range r.plan.lanes {
		if r.live[l] && len(l.spots) > 0 {
			names = append(names, l.at().name)
		}
	}
	r.mu.Unlock()
	r.flow.mu.Lock()
	r.stuck = names
	r.flow.mu.Unlock()
	if r.flow.OnStuck != nil {
		r.flow.OnStuck(names)
		return
	}
	slog.Warn("weir: waiting for stages that ignore their context",
		"flow", r.flow.Name, "stages", strings.Join(names, ", "))
}

// fixed is what the flow holds beside its pipes.
func (b *plan) fixed() int64 {
	var n int64
	for _, st := range b.stages {
		n += st.holds
	}
	return n
}

// Ceiling returns the most memory, in bytes, that the flow will hold: its
// pipes filled to their limits, and what its stages declare to hold (their
// windows, blocks and scratch memory). It does not cover what a function of
// yours keeps, nor what values refer to where their size is not known (see
// [Stream.Sized]). It opens nothing.
func (f *Flow) Ceiling() (int64, error) {
	b, err := f.assemble()
	if err != nil {
		return 0, err
	}
	return b.ceiling(), nil
}

func (b *plan) ceiling() int64 {
	n := b.fixed()
	for _, e := range b.edges {
		n += e.ceiling()
	}
	return n
}

// Check reports what is wrong with the composition of the flow, as Run would
// before it opens anything.
func (f *Flow) Check() error {
	_, err := f.assemble()
	return err
}
