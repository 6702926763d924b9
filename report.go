package weir

import (
	"sync"
	"sync/atomic"
	"time"

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
	t, stop, err, stuck := now(), r.stop, r.err, r.stuck
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
		p := e.stats()
		rep.Pipes = append(rep.Pipes, p)
		rep.Largest = max(rep.Largest, p.Largest)
		rep.Held += p.Bytes
		rep.Peak += p.Peak
	}
	if rep.Running && rep.Verdict.None() && rep.Wall < report.Hold {
		rep.Verdict = report.Verdict{Measuring: true}
	}
	return rep
}

type laneTime struct {
	acc   []int64
	wall  int64
	short int64
}

// until returns the lane's times until t.
func (l *lane) until(t int64) laneTime {
	acc, wall := l.times(t)
	short := l.short.until(t)
	return laneTime{acc, wall, min(short, acc[l.blocked()])}
}

// stats returns what the stage has done until t.
func (st *stage) stats(lanes map[*lane]laneTime, t int64) report.StageStats {
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
			addLane(&s, sp, lanes[sp.ln])
		}
	}
	if st.copy != nil {
		st.copy.share(&s, t)
	}
	ends := time.Duration(st.ends.until(t))
	s.Outside += ends
	s.Wall += ends
	return s
}

// addLane adds the time of one lane, as seen from the stage's place in it.
func addLane(s *report.StageStats, sp *spot, lt laneTime) {
	l := sp.ln
	s.Wall += time.Duration(lt.wall)
	s.Busy += time.Duration(lt.acc[sp.busy])
	s.Outside += time.Duration(lt.acc[sp.busy+1])
	s.Starved += time.Duration(lt.acc[l.starved()])
	s.Blocked += time.Duration(lt.acc[l.blocked()])
	s.Budget += time.Duration(lt.short)
	for i := range l.starved() {
		if i < sp.busy {
			s.Starved += time.Duration(lt.acc[i])
		} else if i > sp.busy+1 {
			s.Blocked += time.Duration(lt.acc[i])
		}
	}
	s.BlockedN += l.blockedN.Load()
}

// phases divides a run where a stage ends: what a stage waits for afterwards is
// no longer the matter of those that have ended. It keeps the sum only.
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

func (w *waitSpan) begin() { w.from.Store(now()) }
func (w *waitSpan) end()   { w.to.Store(now()) }

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
	t := now()
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
		if sp.ln.stop.Load() == 0 {
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
	times := make(map[*lane]laneTime, len(b.lanes))
	for _, l := range b.lanes {
		times[l] = l.until(t)
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
	p.mu.Lock()
	defer p.mu.Unlock()
	stages := p.stages(t)
	wall := time.Duration(t - p.start)
	if v, ok := report.JudgeCopy(stages, wall, p.plan.kernel()); ok {
		return stages, v
	}
	b := p.blame.Clone()
	b.Add(report.Since(stages, p.last), time.Duration(t-p.began()))
	b.AddBudget(p.wait.until(t))
	return stages, b.Verdict(stages, wall)
}

// began is when the current phase began: the first one when the flow had its
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
		st.ends.since.Store(now())
		defer st.ends.end()
		return f()
	}
}

// span adds up times of which one at most goes on.
type span struct{ since, sum atomic.Int64 }

func (s *span) end() { s.sum.Add(now() - s.since.Swap(0)) }

func (s *span) until(t int64) int64 {
	sum := s.sum.Load()
	if from := s.since.Load(); from != 0 {
		sum += max(0, t-from)
	}
	return sum
}
