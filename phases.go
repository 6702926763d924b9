package weir

import (
	"sync"
	"sync/atomic"
	"time"

	"github.com/weir-go/weir/internal/clock"
)

// phases divides a run where a stage ends: what a stage waits for afterwards is
// no longer the matter of those that have ended. It keeps the sum only.
type phases struct {
	mu    sync.Mutex
	plan  *plan
	ups   [][]int
	start int64
	since int64        // when the current phase began
	last  []StageStats // until then
	blame blame
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
	p.blame.add(since(stages, p.last), time.Duration(t-p.began()))
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
func (p *phases) stages(t int64) []StageStats {
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
	list := make([]StageStats, len(b.stages))
	for i, st := range b.stages {
		list[i] = st.stats(times, t)
		list[i].ups = p.ups[i]
	}
	return list
}

// at returns the stages at t and the verdict on all of the run until then.
func (p *phases) at(t int64) ([]StageStats, Verdict) {
	p.mu.Lock()
	defer p.mu.Unlock()
	stages := p.stages(t)
	wall := time.Duration(t - p.start)
	if v, ok := copyVerdict(stages, wall, p.plan.kernel()); ok {
		return stages, v
	}
	b := p.blame.clone()
	b.add(since(stages, p.last), time.Duration(t-p.began()))
	b.budget += p.wait.until(t)
	return stages, b.verdict(stages, wall)
}

// began is when the current phase began: the first one when the flow had its
// memory from the budget.
func (p *phases) began() int64 {
	if to := p.wait.to.Load(); to != 0 {
		return max(p.since, to)
	}
	return p.since
}

// since returns what each stage has done since it was as in last.
func since(stages, last []StageStats) []StageStats {
	if len(last) != len(stages) {
		return stages
	}
	list := make([]StageStats, len(stages))
	for i, s := range stages {
		was := last[i]
		s.In, s.Out, s.Dropped = s.In-was.In, s.Out-was.Out, s.Dropped-was.Dropped
		s.Wall, s.Busy, s.Blocked = s.Wall-was.Wall, s.Busy-was.Busy, s.Blocked-was.Blocked
		s.Starved, s.Outside, s.Unknown = s.Starved-was.Starved, s.Outside-was.Outside, s.Unknown-was.Unknown
		s.Budget, s.hidden = s.Budget-was.Budget, s.hidden-was.hidden
		s.BlockedN -= was.BlockedN
		list[i] = s
	}
	return list
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
