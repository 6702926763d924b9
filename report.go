package weir

import (
	"sync"
	"sync/atomic"
	"time"

	"github.com/weir-go/weir/internal/clock"
	"github.com/weir-go/weir/internal/kernelcopy"
	"github.com/weir-go/weir/report"
)

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

// phases divides a run where a stage ends: stages that have ended are not to
// blame for later waits of other stages. It keeps the sum only.
type phases struct {
	mu    sync.Mutex
	plan  *plan
	ups   [][]int
	start int64
	since int64               // when the current phase began
	last  []report.StageStats // until then
	blame report.Blame
	wait  waitSpan // for the budget, before anything opens
}

func newPhases(b *plan, start int64) *phases {
	return &phases{plan: b, start: start, since: start}
}

// waitSpan is a time that ends once.
type waitSpan struct{ from, to atomic.Int64 }

func (w *waitSpan) begin() { w.from.Store(clock.Now()) }
func (w *waitSpan) end()   { w.to.Store(clock.Now()) }

// until returns how long it has taken until t.
func (w *waitSpan) until(t int64) time.Duration {
	from, to := w.from.Load(), w.to.Load()
	switch {
	case from == 0:
		return 0
	case to != 0:
		t = to
	}
	return time.Duration(max(0, t-from))
}

// ended is called when lane l has ended. It begins a new phase if a stage has
// ended with it. A phase that would be short goes into the next one: a flow of
// many stages that end together would spend its time with counting.
func (p *phases) ended(l *lane) {
	over := false
	for _, sp := range l.spots {
		over = over || sp.st.over()
	}
	t := clock.Now()
	p.mu.Lock()
	defer p.mu.Unlock()
	if !over || t-p.since <= (t-p.start)>>8 {
		return
	}
	stages := p.stages(t)
	p.blame.Add(report.Since(stages, p.last), time.Duration(t-p.began()))
	p.last, p.since = stages, t
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

// stages returns the stages as they are at t.
func (p *phases) stages(t int64) []report.StageStats {
	b := p.plan
	if p.ups == nil {
		index := make(map[*stage]int, len(b.stages))
		for i, st := range b.stages {
			index[st] = i
		}
		p.ups = make([][]int, len(b.stages))
		for i, st := range b.stages {
			for _, up := range st.ups {
				p.ups[i] = append(p.ups[i], index[up])
			}
		}
	}
	times := make(map[*lane]clock.Reading, len(b.lanes))
	for _, l := range b.lanes {
		times[l] = l.Until(t)
	}
	list := make([]report.StageStats, len(b.stages))
	for i, st := range b.stages {
		list[i] = st.stats(times, t)
		list[i].Upstream = p.ups[i]
	}
	return list
}

// at returns the stages at t and the verdict on all of the run until then.
func (p *phases) at(t int64) ([]report.StageStats, report.Verdict) {
	peers, edges := make([]string, len(p.plan.stages)), make([]report.Edge, len(p.plan.stages))
	for i, st := range p.plan.stages { // they can be the user's code: before the lock
		peers[i], edges[i] = st.outer.get()
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	stages := p.stages(t)
	for i := range stages {
		stages[i].Peer, stages[i].Edge = peers[i], edges[i]
	}
	wall := time.Duration(t - p.start)
	if v, ok := report.JudgeCopy(stages, wall, p.plan.kernel()); ok {
		return stages, v
	}
	b := p.blame.Clone()
	b.Add(report.Since(stages, p.last), time.Duration(t-p.began()))
	b.AddBudget(p.wait.until(t))
	return stages, b.Verdict(stages, wall)
}

// began returns when the current phase began: the first one when the flow had its
// memory from the budget.
func (p *phases) began() int64 {
	if to := p.wait.to.Load(); to != 0 {
		return max(p.since, to)
	}
	return p.since
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

// copyClock keeps account of the time of a copy that the kernel may make. The
// goroutine of the copy moves it; anyone may read it.
type copyClock struct {
	mu    sync.Mutex
	runs  bool
	at    kernelcopy.Activity
	since int64    // when the activity began
	spent [3]int64 // nanoseconds for each activity
	known kernelcopy.Spent
	path  string
}

func (c *copyClock) begin() {
	c.mu.Lock()
	c.runs, c.at, c.since = true, kernelcopy.Reading, clock.Now()
	c.mu.Unlock()
}

func (c *copyClock) end() {
	c.mu.Lock()
	c.turn(clock.Now())
	c.runs = false
	c.mu.Unlock()
}

// turn books the time until t. mu is held.
func (c *copyClock) turn(t int64) {
	c.spent[c.at] += t - c.since
	c.since = t
}

// Enter implements [kernelcopy.Observer].
func (c *copyClock) Enter(a kernelcopy.Activity) {
	c.mu.Lock()
	c.turn(clock.Now())
	c.at = a
	c.mu.Unlock()
}

// Settle implements [kernelcopy.Observer].
func (c *copyClock) Settle(s kernelcopy.Spent) {
	c.mu.Lock()
	k := &c.known
	k.Copy += s.Copy
	k.Read += s.Read
	k.Write += s.Write
	k.MaybeRead += s.MaybeRead
	k.MaybeWrite += s.MaybeWrite
	c.mu.Unlock()
}

// Path implements [kernelcopy.Observer].
func (c *copyClock) Path(name string) {
	c.mu.Lock()
	if name != "" {
		c.path = name
	}
	c.mu.Unlock()
}

// used returns the system call that has moved bytes, or empty.
func (c *copyClock) used() string {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.path
}

// reading reports whether the copy was waiting for its source at the end.
func (c *copyClock) reading() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.at == kernelcopy.Reading
}

// share gives the source or sink s its view of the copy until t.
func (c *copyClock) share(s *report.StageStats, t int64) {
	c.mu.Lock()
	defer c.mu.Unlock()
	spent := c.spent
	if c.runs {
		spent[c.at] += max(0, t-c.since)
	}
	// Divide the time of calls that both read and write, as far as its parts are
	// known. Total and parts were not measured at the same moment, so limit the parts.
	moving := time.Duration(spent[kernelcopy.Moving])
	take := func(d time.Duration) time.Duration {
		d = min(d, moving)
		moving -= d
		return d
	}
	s.Busy = take(c.known.Copy)
	reads := time.Duration(spent[kernelcopy.Reading]) + take(c.known.Read)
	writes := time.Duration(spent[kernelcopy.Writing]) + take(c.known.Write)
	s.Unknown = moving
	maybeRead := min(moving, c.known.MaybeRead)
	maybeWrite := min(moving-maybeRead, c.known.MaybeWrite)
	if s.Kind == report.KindSource {
		s.Outside, s.Blocked, s.Hidden = reads, writes, maybeRead
	} else {
		s.Outside, s.Starved, s.Hidden = writes, reads, maybeWrite
	}
	s.Wall = s.Busy + reads + writes + s.Unknown
	s.Copied = true
}
