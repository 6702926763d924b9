package weir

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"runtime/pprof"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/weir-go/weir/internal/clock"
	"github.com/weir-go/weir/internal/units"
	"github.com/weir-go/weir/report"
)

// Flow is a stream that is connected to a sink, so it can run. Until Run it is
// only a description. Set its fields before Run; a Flow must not be copied after
// that.
type Flow struct {
	// Name appears in errors, logs and profiles.
	Name string

	// Limit is the limit of every pipe for which no other limit is set.
	Limit Limit

	// Budget, if not nil, provides the flow's memory. Run waits until the budget
	// has the memory that the flow needs to start.
	Budget *Budget

	// MaxValue is the largest size of a value in bytes: its slot plus the
	// memory that it refers to, measured as for [Bytes]. A larger value ends the
	// flow with [ErrLimit]; the values before it arrive first. 0 means no limit.
	// Single bytes, and values that weir cannot measure, always pass.
	MaxValue int64

	// Grace is how long a stage can ignore the end of its context before it
	// is reported to OnStuck. Zero means 5 seconds.
	Grace time.Duration

	// OnStuck is called from the goroutine of Run when the grace period has
	// passed, with the names of the stages that are still running. It is called
	// again for the parts of a [Concat]. If it is nil, the names are logged with
	// [slog.Warn]. Run keeps waiting for the stages.
	OnStuck func(stages []string)

	build func(b *plan)
	given []*given // readers and writers that the flow must close, even if it never uses them

	mu   sync.Mutex
	last *run // the current run, or the last one
}

// Join makes one flow of several, which can share parts: the branches of a
// [Tee] that end in different sinks run together. The first error ends them
// all. No file gets its final name before all flows have succeeded. The files
// then get their names one after the other. If the program crashes before the
// last one has its name, or one of them fails, the files before it stay in place.
//
// The joined flow's Name, Grace and OnStuck apply to all. A flow keeps its own
// Limit, Budget and MaxValue; if it has none, the joined flow's apply. Run
// reserves the memory of all flows before it starts any.
func Join(flows ...*Flow) *Flow {
	j := &Flow{build: func(b *plan) {
		if len(flows) == 0 {
			b.fail("join", errors.New("no flows to run"))
		}
		for _, f := range flows {
			if f == nil || f.build == nil {
				b.fail("join", errors.New("nil flow"))
				continue
			}
			b.within(f, func() { f.build(b) })
		}
	}}
	for _, f := range flows {
		if f != nil {
			j.given = append(j.given, f.given...)
		}
	}
	return j
}

// run is one execution of a flow.
type run struct {
	flow   *Flow
	plan   *plan
	outer  context.Context // the caller's
	ctx    context.Context
	cancel context.CancelCauseFunc
	start  int64
	stop   int64 // 0 while it runs; guarded by Flow.mu
	over   bool  // the flow may run again; guarded by Flow.mu
	phases *phases
	err    error
	stuck  []string      // guarded by Flow.mu
	told   chan []string // stuck stages of its parts

	mu     sync.Mutex
	first  error         // the first cause
	others []error       // errors that followed it
	failed chan struct{} // closed when first is set
	live   map[*lane]bool
	idle   chan struct{} // closed when no lane is left

	still  *standstill // shared with the parts
	owned  []*ownedPipe
	needed []need // bytes taken from budgets at the start

	// host is the lane of a Concat that waits for this run, the run of one of
	// its streams. It is nil for a run that nobody else waits for.
	host  *lane
	parts map[*lane]*run // the runs that lanes of this one wait for; guarded by mu
}

// Run executes the flow and returns when everything it started has ended and
// is closed. It reports mistakes in the composition before it opens anything. Run
// returns the first error, with the name of its stage ([StageError]); [errors.Is]
// also finds the errors that followed it. Run returns a panic in a stage as a
// [PanicError]. If ctx ended first, the error matches both ctx.Err() and
// context.Cause(ctx).
//
// A failure of a source or a stage at once ends everything upstream of it and in
// parallel branches. Downstream, the values from before the failure arrive first.
// The end of ctx ends everything at once: each worker of a stage calls the user's
// function at most once more. [Map] and [Filter] can continue for half a
// microsecond if their functions take less than that.
//
// Run closes every reader, writer and pipe that was passed to the flow, as with
// [FromReader] or [ToPipe], however early the flow fails.
//
// A flow can run again if its sources can be opened again (see [ErrUsedUp]). Run
// of a flow that is running returns [ErrRunning].
func (f *Flow) Run(ctx context.Context) (err error) { return f.run(ctx, nil) }

// run is Run inside the lane host, which waits for it. ctx is the context of
// the host. The flow stops when the source context of the host ends. A nil host
// means that the flow runs by itself.
func (f *Flow) run(ctx context.Context, host *lane) (err error) {
	b, err := f.assemble()
	if err != nil {
		if f != nil {
			err = closeGiven(f.given, err)
		}
		return err
	}
	f.mu.Lock()
	if f.last != nil && !f.last.over {
		f.mu.Unlock()
		return ErrRunning
	}
	r := &run{flow: f, plan: b, host: host, outer: ctx, live: map[*lane]bool{}, idle: make(chan struct{}), failed: make(chan struct{}), told: make(chan []string)}
	ctx, r.cancel = context.WithCancelCause(ctx)
	r.ctx = ctx
	r.start = clock.Now()
	r.phases = newPhases(b, r.start)
	for _, l := range b.lanes {
		l.prepare(ctx, r)
	}
	r.watchForStandstill()
	f.last = r
	f.mu.Unlock()
	ended := begun(f)
	if host != nil { // not before f.last is set: Stop would find nothing that runs
		defer context.AfterFunc(host.source, f.Stop)()
	}
	defer func() {
		for _, l := range b.lanes {
			l.cancel(err)
		}
		r.cancel(err)
		f.mu.Lock()
		r.stop, r.err, r.over = clock.Now(), err, ended == nil
		f.mu.Unlock()
		if ended != nil { // another run would replace the report that it reads
			ended(err)
			f.mu.Lock()
			r.over = true
			f.mu.Unlock()
		}
	}()
	return closeGiven(f.given, r.run(ctx))
}

// watchForStandstill makes the pipes of the run report waiting goroutines. A
// part of a Concat reports them to the run around it, because a deadlock can
// involve both.
func (r *run) watchForStandstill() {
	if r.host != nil {
		r.still, r.owned = r.host.r.still, r.plan.ownedIn(r.host.r.owned)
	} else {
		r.still, r.owned = &standstill{found: make(chan struct{}, 1)}, r.plan.owned()
		for _, p := range r.owned {
			p.WatchedBy(r.still)
		}
	}
	for _, e := range r.plan.edges {
		e.WatchedBy(r.still)
	}
}

// Stop tells the running flow to take no more input and to finish the values that
// it has: its sources end as if they had no more values. Run then returns nil,
// unless something fails. Stop does not wait. It interrupts a source that waits for
// input by setting the read deadline, or by closing a source without deadlines.
// [Generate], [FromFunc] and [FromSeq] end when their function next emits a value or
// returns; the context of the first two ends at once. A flow that waits for its
// [Budget] keeps waiting, and ends when it has the memory. Stop does nothing if the
// flow is not running. It is safe for concurrent use.
func (f *Flow) Stop() {
	f.mu.Lock()
	r := f.last
	running := r != nil && r.stop == 0
	f.mu.Unlock()
	if running {
		for _, l := range r.plan.lanes {
			l.stopSource(ErrStop)
		}
	}
}

func (r *run) run(ctx context.Context) error {
	if ctx.Err() != nil {
		return r.flow.ended(ctx)
	}
	release, err := r.reserve(ctx)
	if err != nil {
		return err
	}
	defer release()
	if err := r.open(); err != nil {
		for _, l := range r.plan.lanes {
			l.cancel(err)
			for _, s := range l.spots {
				err = also(err, s.close(err))
			}
		}
		for _, e := range r.plan.edges {
			e.CloseRead(err)
		}
		return err
	}
	r.lanes(ctx)
	r.mu.Lock()
	err, others := r.first, r.others
	r.mu.Unlock()
	if r.outer.Err() != nil && !r.complete() {
		// If a failure came first, ctx has cut off the values before it.
		err = also(err, r.flow.ended(r.outer))
	}
	err = r.settle(also(err, others...))
	if err != nil && r.outer.Err() != nil {
		err = also(err, r.flow.ended(r.outer)) // Prepare or Commit may have failed because of it
	}
	for _, e := range r.plan.edges {
		e.CloseRead(nil)
	}
	return err
}

// reserve takes the memory that the flow needs to start from its budgets.
// Budgets are taken in the order they were made, so that flows with several of
// them cannot wait for each other.
func (r *run) reserve(ctx context.Context) (release func(), err error) {
	var taken []need
	release = func() {
		for _, n := range taken {
			n.b.Release(n.bytes)
		}
	}
	for _, n := range r.plan.needs() {
		r.phases.wait.begin()
		err := n.b.acquire(ctx, r.flow.doing(), n.bytes)
		r.phases.wait.end()
		if err != nil {
			release()
			if ctx.Err() != nil {
				return nil, r.flow.ended(ctx)
			}
			return nil, err
		}
		taken = append(taken, n)
	}
	r.needed = taken
	return release, nil
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

// settle ends the sinks that wait for the whole flow. If it has succeeded, all of
// them prepare, then all commit, then all close. Otherwise they are closed with
// the error.
func (r *run) settle(err error) error {
	for _, k := range r.plan.sinks {
		if err == nil {
			err = k.prepare()
		}
	}
	for _, k := range r.plan.sinks {
		if err == nil {
			err = k.commit()
		}
	}
	for _, k := range r.plan.sinks {
		err = also(err, k.end(err))
	}
	return err
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

// open opens sources, stages and sinks, in this order.
func (r *run) open() error {
	for _, o := range slices.Backward(r.plan.opens) {
		err := protect(o.sp.st.name, o.sp.st.timed(func() (err error) { o.sp.closer, err = o.open(); return }))
		if err != nil {
			if context.Cause(o.sp.ln.ctx) != nil {
				ended := r.flow.ended(o.sp.ln.ctx)
				var pe *PanicError
				if errors.As(err, &pe) {
					ended = also(ended, err)
				}
				err = ended
			}
			return err
		}
	}
	return nil
}

// protect names the stage in errors of f, and turns a panic into one.
func protect(name string, f func() error) error {
	if err := recovered(f); err != nil {
		return stageError(name, err)
	}
	return nil
}

// recovered calls f, in a goroutine whose panic nobody else would catch, and
// turns a panic into an error.
func recovered(f func() error) (err error) {
	returned := false
	defer func() {
		if !returned {
			err = abnormal(recover())
		}
	}()
	err = f()
	returned = true
	return err
}

// deadlockAge is how long all lanes must have waited if they use a pipe of the
// user's. Goroutines outside the run can wait there too and count as lanes do:
// one of them may have been woken and not have run yet.
const deadlockAge = 50 * time.Millisecond

// lanes runs all lanes and returns when the last has ended.
func (r *run) lanes(ctx context.Context) {
	r.mu.Lock()
	for _, l := range r.plan.lanes {
		r.live[l] = true
	}
	r.mu.Unlock()
	r.still.live.Add(int64(len(r.plan.lanes)))
	var found <-chan struct{} // the run around a part looks for both
	if r.host == nil {
		found = r.still.found
	} else {
		defer r.host.hosts(r)()
	}
	for _, l := range r.plan.lanes {
		labels := pprof.Labels("weir_flow", r.flow.Name, "weir_stage", l.name())
		go pprof.Do(l.ctx, labels, func(context.Context) { l.run() })
	}
	done, failed := ctx.Done(), r.failed
	var grace *time.Timer
	var late <-chan time.Time
	var again <-chan time.Time // when to check a possible deadlock again
	var moves int64            // when it was seen first
	for {
		select {
		case <-r.idle:
			return
		case <-found:
			moves = r.still.moves.Load()
			switch err := r.deadlock(); {
			case err == nil:
			case len(r.owned) == 0:
				r.abort(err)
			default:
				again = time.After(deadlockAge)
			}
			continue
		case <-again:
			again = nil
			if err := r.deadlock(); err != nil && r.still.moves.Load() == moves {
				r.abort(err)
			}
			continue
		case <-late:
			late = nil
			r.note(protect("OnStuck", func() error { r.nameStuck(); return nil }))
			continue
		case names := <-r.told:
			r.note(protect("OnStuck", func() error { r.tellStuck(names); return nil }))
			continue
		case <-done:
			done = nil
		case <-failed:
			failed = nil
		}
		if grace == nil {
			d := r.outermost().flow.Grace
			if d == 0 {
				d = 5 * time.Second
			}
			grace = time.NewTimer(d)
			defer grace.Stop()
			late = grace.C
		}
	}
}

// failing records that lane l failed. The first failure ends all lanes but
// those downstream, which find the error behind the values that came before it.
func (r *run) failing(l *lane, err error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	// The end of the context reaches the lanes one after the other, and each
	// hands it on.
	var pe *PanicError
	switch {
	case r.first == nil && (r.ctx.Err() == nil || errors.As(err, &pe)):
		r.first = err
		close(r.failed)
		spared := l.downstream(r.plan.lanes)
		for _, o := range r.plan.lanes {
			if !spared[o] {
				o.cancel(err)
			}
		}
	case !sameError(err, context.Cause(r.ctx)):
		r.others = append(r.others, err)
	}
}

// abort ends all lanes at once, with err unless another error came first.
func (r *run) abort(err error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.first == nil && r.ctx.Err() == nil {
		r.first = err
		close(r.failed)
	} else {
		r.others = append(r.others, err)
	}
	r.cancel(err)
}

// note records an error that does not end the flow by itself.
func (r *run) note(err error) {
	if err == nil {
		return
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.others = append(r.others, err)
}

// done takes lane l off the list.
func (r *run) done(l *lane) {
	r.phases.ended(l)
	r.mu.Lock()
	defer r.mu.Unlock()
	delete(r.live, l)
	r.still.ended()
	if len(r.live) == 0 {
		close(r.idle)
	}
}

// nameStuck reports the stages that ignore the end of their context.
func (r *run) nameStuck() {
	r.mu.Lock()
	var names []string
	for _, l := range r.plan.lanes {
		if r.live[l] && len(l.spots) > 0 && l.ctx.Err() != nil && r.parts[l] == nil { // a part reports its own
			names = append(names, l.at().name)
		}
	}
	r.mu.Unlock()
	if len(names) == 0 {
		return // they finish the values that came before the failure
	}
	if r.host != nil {
		r.outermost().told <- names // received while a lane runs, and this one does
		return
	}
	r.tellStuck(names)
}

// tellStuck reports stages of the run or of its parts.
func (r *run) tellStuck(names []string) {
	r.flow.mu.Lock()
	r.stuck = append(r.stuck[:len(r.stuck):len(r.stuck)], names...)
	r.flow.mu.Unlock()
	if r.flow.OnStuck != nil {
		r.flow.OnStuck(names)
		return
	}
	slog.Warn("weir: waiting for stages that ignore their context",
		"flow", r.flow.Name, "stages", strings.Join(names, ", "))
}

// outermost returns the run of the flow that the user runs, which r is a part of.
func (r *run) outermost() *run {
	for r.host != nil {
		r = r.host.r
	}
	return r
}

// Check returns the error in the composition of the flow that Run would return
// before it opens anything, or nil.
func (f *Flow) Check() error {
	_, err := f.assemble()
	return err
}

// StageNames returns the names that the flow's reports and errors will use for
// its stages, its source and sink included, the source first. It opens nothing.
// A stage of several steps has a name for each.
func (f *Flow) StageNames() ([]string, error) {
	b, err := f.assemble()
	if err != nil {
		return nil, err
	}
	names := make([]string, len(b.stages))
	for i, st := range b.stages {
		names[i] = st.name
	}
	return names, nil
}

// Ceiling returns the most memory that the flow will hold. It covers neither what
// your own functions keep, nor the larger memory that a substring or subslice keeps
// alive. It opens nothing.
func (f *Flow) Ceiling() (report.Ceiling, error) {
	b, err := f.assemble()
	if err != nil {
		return report.Ceiling{}, err
	}
	return b.ceiling(), nil
}

// Explain describes how the flow would run: its lanes, the pipes between them with
// their limits, the memory of its stages and which part of that the ceiling does not
// cover, the ceiling, and the system call that would move the bytes if no stage has
// to see them. It opens nothing.
func (f *Flow) Explain() (string, error) {
	b, err := f.assemble()
	if err != nil {
		return "", err
	}
	var s strings.Builder
	for i := 0; i < len(b.lanes); {
		l := b.lanes[i]
		name := l.name()
		if name == "" && l.owner != nil {
			name = l.owner.name + ", in order"
		}
		number := fmt.Sprint(i + 1)
		if len(l.spots) == 1 && l.spots[0].st.workers > 1 {
			i += l.spots[0].st.workers
			number += fmt.Sprintf("–%d", i)
		} else {
			i++
		}
		fmt.Fprintf(&s, "lane %-5s %s\n", number, name)
		for _, sp := range l.spots {
			if sp.st.kernel != "" {
				fmt.Fprintf(&s, "           the kernel moves the bytes: %s\n", sp.st.kernel)
			}
			if held := holding(sp.st.holds, sp.st.beyond); held != "" {
				fmt.Fprintf(&s, "           %s holds at most %s\n", sp.st.name, held)
			}
			for _, why := range sp.st.uncovered {
				fmt.Fprintf(&s, "           not covered: values of %s\n", why)
			}
		}
	}
	for _, e := range b.edges {
		if inStore(e.anyPipe) {
			continue // it is in a lane's name already, and takes no memory
		}
		fmt.Fprintf(&s, "pipe       %s: limit %s, at most %s\n", e.Name(), limitOf(e.Stats().Limit), holding(e.Ceiling(), e.holders()))
	}
	fmt.Fprintf(&s, "ceiling    %v\n", b.ceiling())
	return s.String(), nil
}

// holding describes the contents of a stage or pipe: "64 KiB and 2 values", or "" if
// it holds nothing.
func holding(bytes int64, x beyond) string {
	var c report.Ceiling
	if c.Bytes = bytes; x.most > 0 {
		addBeyond(&c, x)
		x.values = 0
	}
	switch {
	case x.values == 0 && c.Bytes == 0:
		return ""
	case x.values == 0:
		return FormatBytes(c.Bytes)
	}
	values := units.Count(int64(x.values), "value")
	if c.Bytes == 0 {
		return values
	}
	return FormatBytes(c.Bytes) + " and " + values
}

// Report returns a snapshot of the current run of the flow, or of the last one.
// It can be called at any time, also while the flow runs. If the flow has never
// run, the report has only its name, and the verdict is "measuring".
func (f *Flow) Report() report.Report {
	f.mu.Lock()
	r := f.last
	if r == nil {
		f.mu.Unlock()
		return report.Report{Flow: f.Name, Verdict: report.Verdict{Measuring: true}}
	}
	t, stop, err, stuck := clock.Now(), r.stop, r.err, r.stuck
	f.mu.Unlock()
	rep := report.Report{Flow: f.Name, Running: stop == 0, Err: err, Stuck: stuck, Kernel: r.plan.kernel()}
	c := r.plan.ceiling()
	rep.Ceiling, rep.Holders = c.Bytes, c.Holders
	if stop != 0 {
		t = stop
	}
	rep.Wall = time.Duration(t - r.start)
	rep.Stages, rep.Verdict = r.phases.at(t)
	for _, e := range r.plan.edges {
		p := pipeStats(e.anyPipe)
		rep.Pipes = append(rep.Pipes, p)
		rep.Largest = max(rep.Largest, p.Largest)
		if !p.Stored {
			rep.Held += p.Bytes
			rep.Peak += p.Peak
		}
	}
	if rep.Running && rep.Verdict.None() && rep.Wall < report.Hold {
		rep.Verdict = report.Verdict{Measuring: true}
	}
	return rep
}

// deadlock returns an ErrDeadlock if the lanes of the run wait for each other and
// nothing else can wake one of them.
func (r *run) deadlock() error {
	moves := r.still.moves.Load()
	if !r.still.all() {
		return nil
	}
	live, ok := r.resting()
	if !ok {
		return nil
	}
	for _, p := range r.owned {
		if read, write := p.Resting(); read > 1 || write > 1 || p.Stirring() || p.Passing() {
			return nil // somebody outside the run uses it too
		}
	}
	if !r.still.all() || r.still.moves.Load() != moves {
		return nil // the observations above were not simultaneous
	}
	return wrapf(r.flow.doing(), fmt.Errorf("%w: %s", ErrDeadlock, cycle(live, r.owned)))
}

// resting returns the lanes of the run, if there are any and all of them wait for
// each other, for lanes of its parts or of the run around it.
func (r *run) resting() (live []*lane, ok bool) {
	r.mu.Lock()
	for _, l := range r.plan.lanes {
		if r.live[l] {
			live = append(live, l)
		}
	}
	parts := maps.Clone(r.parts)
	r.mu.Unlock()
	for _, e := range r.plan.edges {
		// A lane that queues for its turn counts a moment before its clock says that
		// it waits. It holds the lock of the pipe until then, which Resting takes.
		e.Resting()
	}
	for _, l := range live {
		if l.ctx.Err() != nil || l.timed.Load() {
			return nil, false
		}
		if part := parts[l]; part != nil {
			if _, ok := part.resting(); !ok {
				return nil, false
			}
		} else if !l.waits(r.owned) {
			return nil, false
		}
	}
	// A budget that gives memory back at this moment sends a token to the waiting
	// goroutines. So look for tokens after budgets.
	if r.held() {
		return nil, false
	}
	for _, e := range r.plan.edges {
		if e.Stirring() {
			return nil, false
		}
	}
	return live, len(live) > 0
}

// held reports whether a pipe waits for a budget of which others hold a part,
// which they can give back.
func (r *run) held() bool {
	used := map[*Budget]int64{}
	for _, n := range r.needed {
		used[n.b] += n.bytes
	}
	wait := map[*Budget]bool{}
	for _, e := range r.plan.edges {
		if e.budget != nil {
			extra, waits := e.Credit()
			used[e.budget] += extra
			wait[e.budget] = wait[e.budget] || waits
		}
	}
	for b := range wait {
		if wait[b] && b.Used() > used[b] {
			return true
		}
	}
	return false
}

// assemble builds the plan of f.
func (f *Flow) assemble() (*plan, error) {
	b := &plan{flow: f, used: map[*int]bool{}, state: map[any]any{}, names: map[string]int{}}
	if f == nil || f.build == nil {
		return nil, wrapf("flow", errors.New("no sink; end the stream with To"))
	}
	b.within(f, func() { f.build(b) })
	for i := 0; i < len(b.finals); i++ { // a final may add others
		b.finals[i]()
	}
	if err := errors.Join(b.errs...); err != nil {
		return nil, err
	}
	// Source first, from here on.
	slices.Reverse(b.stages)
	slices.Reverse(b.lanes)
	slices.Reverse(b.edges)
	slices.Reverse(b.sinks)
	return b, nil
}

// given is something that a flow was handed ready to use, as by [FromReader] or
// [ToPipe]. The flow has to close it, even if the flow never opens it.
type given struct {
	x     any
	used  atomic.Bool // a run has opened it, or closed it unopened
	again bool        // each run uses it anew
}

// take marks g as used. A source that has been used before is used up.
func (g *given) take() error {
	if g.used.Swap(true) {
		return ErrUsedUp
	}
	return nil
}

// closeGiven closes everything that no run has opened, with err, which it
// returns together with the errors of closing.
func closeGiven(all []*given, err error) error {
	cause := err
	for _, g := range all {
		err = also(err, g.closeUnopened(cause))
		if g.again {
			g.used.Store(false)
		}
	}
	return err
}

// closeUnopened closes everything that no run has opened.
func (g *given) closeUnopened(cause error) error {
	if g.used.Swap(true) {
		return nil
	}
	return protect("close", func() error { return closeWith(g.x, cause) })
}

// closeWith closes x, if it can be closed. A cause, unless it is ErrStop, goes to
// CloseWithError, if x has that method, so that the other end of a pipe learns
// it.
func closeWith(x any, cause error) error {
	if cause != nil && !isStop(cause) {
		if c, ok := x.(interface{ CloseWithError(error) error }); ok {
			return c.CloseWithError(cause)
		}
	}
	if c, ok := x.(io.Closer); ok {
		return c.Close()
	}
	return nil
}
