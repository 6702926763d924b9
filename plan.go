package weir

import (
	"cmp"
	"errors"
	"fmt"
	"slices"
	"sync/atomic"
	"time"

	"github.com/weir-go/weir/internal/clock"
	"github.com/weir-go/weir/internal/pipe"
	"github.com/weir-go/weir/report"
)

// plan is a flow taken apart into lanes and pipes. It is made anew for each
// run, and for each question about the flow; making it opens nothing.
type plan struct {
	flow   *Flow
	stages []*stage // sink first: flows are built from the sink back
	lanes  []*lane
	edges  []edge
	opens  []opener // sink first
	errs   []error
	used   map[*int]bool
	state  map[any]any // state of steps with several outputs, until all outputs are built
	finals []func()    // run when everything is built
	names  map[string]int
	sinks  []settler
	halves []half

	// limit, budget and maxValue are copies of the fields of the flow that is
	// being built.
	limit    Limit
	budget   *Budget
	maxValue int64
}

// opener opens something before the lanes start, and closes it after they have
// ended.
type opener struct {
	sp   *spot
	open func() (close func(cause error) error, err error)
}

// stage is a source, a stage or a sink, as the plan, the clock and the report
// know it.
type stage struct {
	name            string
	kind            report.Kind
	bytes, bytesOut bool // counts bytes, not items, in and out
	workers         int  // spots that run at the same time
	spots           []*spot
	ups             []*stage
	holds           int64
	beyond          beyond
	uncovered       []string // values that it passes on and that cannot be measured
	budget          *Budget
	limits          bool       // waits on purpose, to keep to a rate
	kernel          string     // the system call that is meant to move the bytes
	copy            *copyClock // of the two ends of a copy by the kernel
	ends            clock.Span // time to open and to close
	outer           outer

	in, out, dropped atomic.Int64
}

// stats returns the times and counts of the stage until t.
func (st *stage) stats(lanes map[*lane]clock.Reading, t int64) report.StageStats {
	s := report.StageStats{
		Name: st.name, Kind: st.kind, Workers: st.workers, Limits: st.limits,
		In: st.in.Load(), Out: st.out.Load(), Dropped: st.dropped.Load(),
		Unit: "items", OutUnit: "items",
	}
	if st.bytes {
		s.Unit = "bytes"
	}
	if st.bytesOut {
		s.OutUnit = "bytes"
	}
	for _, sp := range st.spots {
		if st.copy == nil {
			addTimes(&s, lanes[sp.ln].Of(sp.busy))
		}
	}
	if st.copy != nil {
		st.copy.share(&s, t)
	}
	ends := time.Duration(st.ends.Until(t))
	s.Outside += ends
	s.Wall += ends
	return s
}

// addTimes adds the times of one lane, as seen from the stage's place in it.
func addTimes(s *report.StageStats, t clock.Times) {
	s.Wall += time.Duration(t.Wall)
	s.Busy += time.Duration(t.Busy)
	s.Outside += time.Duration(t.Outside)
	s.Starved += time.Duration(t.Starved)
	s.Blocked += time.Duration(t.Blocked)
	s.Budget += time.Duration(t.Short)
	s.BlockedN += t.BlockedN
}

// over reports whether all lanes of the stage have ended.
func (st *stage) over() bool {
	for _, sp := range st.spots {
		if !sp.ln.Stopped() {
			return false
		}
	}
	return true
}

// timed returns f with the time it takes counted as time that the stage spends
// outside: it opens or closes a file, a socket or a process.
func (st *stage) timed(f func() error) func() error {
	return func() error {
		st.ends.Begin()
		defer st.ends.End()
		return f()
	}
}

// outer knows the peer and the edge behind a source or sink, if its reader or
// writer reports them. The zero outer knows nothing.
type outer struct {
	ask atomic.Pointer[func() (string, report.Edge)]
}

// of makes o ask x, the reader or writer of the stage.
func (o *outer) of(x any) {
	peer, names := x.(interface{ Peer() string })
	edge, tells := x.(interface{ Edge() report.Edge })
	if !names && !tells {
		return
	}
	ask := func() (name string, e report.Edge) {
		if names {
			name = peer.Peer()
		}
		if tells {
			e = edge.Edge()
		}
		return name, e
	}
	o.ask.Store(&ask)
}

// settle asks for the last time, so that a report of a run that is over does not
// keep its readers and writers in memory.
func (o *outer) settle() {
	if o.ask.Load() != nil {
		name, edge := o.get()
		ask := func() (string, report.Edge) { return name, edge }
		o.ask.Store(&ask)
	}
}

// get returns the name of the peer for which the stage waits, and the edge
// behind it.
func (o *outer) get() (string, report.Edge) {
	if ask := o.ask.Load(); ask != nil {
		return (*ask)()
	}
	return "", report.Edge{}
}

// edge is a pipe of the plan, and the budget that it draws on; nil: none.
type edge struct {
	anyPipe
	budget *Budget
}

// holders returns how many values the pipe may hold beyond its ceiling.
func (e edge) holders() beyond {
	n, most := e.Holders()
	return beyond{n, most}
}

// settler is a sink that may wait for the end of the whole flow: see [Sink].
type settler interface {
	prepare() error
	commit() error
	end(cause error) error
}

// lanesEnd informs a neighbour of a lane that the lane has ended. The cause is
// ErrStop if the lane ended without an error, or because downstream needed no
// more.
type lanesEnd interface {
	CloseRead(cause error)  // nothing more will be read
	CloseWrite(cause error) // nothing more will be written; a lane that ended well may have said so before
}

func (b *plan) fail(stage string, err error) {
	b.errs = append(b.errs, stageError(stage, err))
}

// within runs build with the limits and the budget of f, where f has its own.
func (b *plan) within(f *Flow, build func()) {
	defer b.as(b.limit, b.budget, b.maxValue)
	if err := f.Limit.check(); err != nil {
		b.errs = append(b.errs, wrapf("flow", err))
	} else if !f.Limit.isZero() {
		b.limit = f.Limit
	}
	if f.Budget != nil {
		b.budget = f.Budget
	}
	switch {
	case f.MaxValue < 0:
		b.errs = append(b.errs, wrapf("flow", fmt.Errorf("negative MaxValue of %d bytes", f.MaxValue)))
	case f.MaxValue > 0:
		b.maxValue = f.MaxValue
	}
	build()
}

func (b *plan) as(limit Limit, budget *Budget, maxValue int64) {
	b.limit, b.budget, b.maxValue = limit, budget, maxValue
}

// later runs f when everything is built, with the limits and the budget of now.
func (b *plan) later(f func()) {
	limit, budget, maxValue := b.limit, b.budget, b.maxValue
	b.finals = append(b.finals, func() {
		b.as(limit, budget, maxValue)
		f()
	})
}

// need is the memory that a flow takes from a budget before it starts.
type need struct {
	b     *Budget
	bytes int64
}

// needs connects the pipes with their budgets and returns the least memory with
// which they and the stages can move, for each budget, the oldest first.
func (b *plan) needs() []need {
	var list []need
	add := func(bud *Budget, n int64) {
		if bud == nil {
			return
		}
		for i := range list {
			if list[i].b == bud {
				list[i].bytes += n
				return
			}
		}
		list = append(list, need{bud, n})
	}
	for _, st := range b.stages {
		add(st.budget, st.holds)
	}
	for _, e := range b.edges {
		if e.budget != nil {
			add(e.budget, e.Join(&e.budget.b))
		}
	}
	slices.SortFunc(list, func(x, y need) int { return cmp.Compare(x.b.serial, y.b.serial) })
	return list
}

// half is one half of a pipe made by the user, and the lane that uses it: for a
// stream inside a [Concat], the lane of the Concat.
type half struct {
	given any
	ln    *lane
}

// owned lists the pipes both halves of which belong to the plan.
func (b *plan) owned() (all []*ownedPipe) {
	byPipe := map[any]*ownedPipe{}
	for _, h := range b.halves {
		p, writes := h.pipe()
		if p == nil {
			continue
		}
		o := byPipe[p]
		if o == nil {
			o = &ownedPipe{anyPipe: p}
			byPipe[p] = o
			all = append(all, o)
		}
		if writes {
			o.writer = h.ln
		} else {
			o.reader = h.ln
		}
	}
	return slices.DeleteFunc(all, func(o *ownedPipe) bool { return o.reader == nil || o.writer == nil })
}

// ownedIn lists the pipes of around of which this plan, of a stream inside a
// [Concat], has a half. In the result, the plan's own lanes use that half.
func (b *plan) ownedIn(around []*ownedPipe) (all []*ownedPipe) {
	for _, h := range b.halves {
		p, writes := h.pipe()
		for _, o := range around {
			switch {
			case p == nil || o.anyPipe != p:
			case writes:
				all = append(all, &ownedPipe{p, o.reader, h.ln})
			default:
				all = append(all, &ownedPipe{p, h.ln, o.writer})
			}
		}
	}
	return all
}

// pipe returns the pipe that the half belongs to, or nil if it is a half of
// something else.
func (h half) pipe() (p anyPipe, writes bool) {
	if e, ok := h.given.(interface {
		half() (p anyPipe, writes bool)
	}); ok {
		return e.half()
	}
	return nil, false
}

func (b *plan) newLane() *lane {
	l := &lane{}
	b.lanes = append(b.lanes, l)
	return l
}

// addStage adds a stage in front of to (nil for a sink). Names are made unique,
// so that a report can be read.
func addStage[In, Out any](b *plan, name string, kind report.Kind, to *stage) *stage {
	return b.addStage(name, kind, to, isByte[In](), isByte[Out]())
}

func (b *plan) addStage(name string, kind report.Kind, to *stage, bytesIn, bytesOut bool) *stage {
	b.names[name]++
	if n := b.names[name]; n > 1 {
		name = fmt.Sprintf("%s#%d", name, n)
	}
	st := &stage{name: name, kind: kind, bytes: bytesIn, bytesOut: bytesOut, workers: 1, budget: b.budget}
	if to != nil {
		to.ups = append(to.ups, st)
	}
	b.stages = append(b.stages, st)
	return st
}

func (b *plan) open(sp *spot, f func() (func(error) error, error)) {
	b.opens = append(b.opens, opener{sp, f})
}

// newEdge makes a pipe of the flow. An invalid limit was reported before.
func newEdge[T any](b *plan, limit Limit, size func(T) int, from, to string) *pipe.Pipe[T] {
	p := pipe.New(pipe.Config[T]{Name: from + " → " + to, Limit: b.edgeLimit(limit, from), Size: size, Weighs: true, MaxValue: b.maxValue})
	b.edges = append(b.edges, edge{p.Gate(), b.budget})
	return p
}

// edgeLimit returns the limit of a pipe behind the step from, which asks for limit.
func (b *plan) edgeLimit(limit Limit, from string) pipe.Limit {
	if limit.isZero() {
		limit = b.limit
	}
	if err := limit.check(); err != nil {
		b.fail(from, err)
		limit = Limit{}
	}
	return limit.numbers()
}

// use records that the step name, known as id, is part of the flow, and reports
// whether it may be. err is an error in its composition.
func (b *plan) use(id *int, name string, err error) bool {
	if err == nil && b.used[id] {
		err = errors.New("output used twice in one flow; use Tee, or make the source twice")
	}
	if err != nil {
		b.fail(name, err)
		return false
	}
	b.used[id] = true
	return true
}

// kernel returns the system call that has moved bytes in the flow, or empty.
func (b *plan) kernel() string {
	for _, st := range b.stages {
		if st.copy != nil {
			if name := st.copy.used(); name != "" {
				return name
			}
		}
	}
	return ""
}

func (b *plan) ceiling() report.Ceiling {
	var c report.Ceiling
	for _, st := range b.stages {
		c.Bytes += st.holds
		addBeyond(&c, st.beyond)
		for _, why := range st.uncovered {
			if !slices.Contains(c.Uncovered, why) {
				c.Uncovered = append(c.Uncovered, why)
			}
		}
	}
	for _, e := range b.edges {
		c.Bytes += e.Ceiling()
		addBeyond(&c, e.holders())
	}
	return c
}
