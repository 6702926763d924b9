package weir

import (
	"sync"
	"sync/atomic"
	"time"

	"github.com/weir-go/weir/internal/clock"
	"github.com/weir-go/weir/internal/kernelcopy"
	"github.com/weir-go/weir/report"
)

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
