package weir

import (
	"fmt"
	"strings"
	"time"

	"github.com/weir-go/weir/internal/clock"
)

// Kind says what a stage is.
type Kind int

const (
	KindSource Kind = iota
	KindStage
	KindSink
)

func (k Kind) String() string { return [...]string{"source", "stage", "sink"}[k] }

// MarshalText writes the kind as its name.
func (k Kind) MarshalText() ([]byte, error) { return []byte(k.String()), nil }

// StageStats says where a stage's time went and what it moved. The five times
// add up to Wall, the lifetimes of its workers so far and the time it took to
// open and to close the stage:
//
//   - Busy: its own code ran. Of a copy by the kernel: the kernel was busy with
//     both reading and writing.
//   - Blocked: what is downstream did not take its output. This is backpressure.
//   - Starved: nothing came from upstream.
//   - Outside: it waited inside Read or Write of a file, socket or process, or
//     opened or closed it.
//   - Unknown: the kernel moved the bytes from source to sink in one call and
//     waited for one of them; the call does not tell for which.
type StageStats struct {
	Name    string
	Kind    Kind
	Workers int
	Unit    string // "bytes" or "items", of In
	OutUnit string // of Out
	In, Out int64
	Dropped int64

	Wall, Busy, Blocked, Starved, Outside, Unknown time.Duration

	// BlockedN is how often the stage's goroutine had to wait for room.
	BlockedN int64

	// Budget is the part of Blocked in which a pipe had room and the shared
	// [Budget] had no memory for it.
	Budget time.Duration

	Limits bool // it limits the rate on purpose

	ups    []int
	ended  bool
	copied bool          // by the kernel, or it was meant to be
	hidden time.Duration // the part of Unknown that samples give to this end
}

// Report says what a flow has done, until now or in all. It is a snapshot:
// nothing in it changes any more.
type Report struct {
	Flow    string
	Running bool
	Wall    time.Duration
	Stages  []StageStats // source first
	Pipes   []PipeStats  // source first
	Ceiling int64        // bytes it can hold at most, and
	Holders int          // so many values more: see [Ceiling]
	Largest int64        // the largest value that went into one of its pipes, in bytes
	Held    int64        // bytes in its pipes now
	Peak    int64        // sum of the pipes' peaks, in bytes
	Stuck   []string     // stages that ignored their context for the grace period
	Err     error
	Kernel  string // the system call that has moved the bytes; empty if they went through memory
	Verdict Verdict
}

// Stats returns a report on the flow at this moment: of the run that goes on,
// or of the last one. It may be called at any time, concurrently with Run. If
// the flow has never run, the report has its name only, and a verdict that
// says so: measuring.
func (f *Flow) Stats() Report {
	f.mu.Lock()
	r := f.last
	if r == nil {
		f.mu.Unlock()
		return Report{Flow: f.Name, Verdict: Verdict{Measuring: true}}
	}
	t, stop, err, stuck := clock.Now(), r.stop, r.err, r.stuck
	f.mu.Unlock()
	rep := Report{Flow: f.Name, Running: stop == 0, Err: err, Stuck: stuck, Kernel: r.plan.kernel()}
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
		rep.Held += p.Bytes
		rep.Peak += p.Peak
	}
	if rep.Running && rep.Verdict.nothing() && rep.Wall < verdictHold {
		rep.Verdict = Verdict{Measuring: true}
	}
	return rep
}

// nothing reports whether the verdict names no bottleneck, which is no news
// when a run has just begun.
func (v Verdict) nothing() bool {
	return v.Stage == "" && !v.Budget && !v.Copy
}

// Report is Stats; it reads better after Run.
func (f *Flow) Report() Report { return f.Stats() }

// stats returns what the stage has done until t.
func (st *stage) stats(lanes map[*lane]clock.Reading, t int64) StageStats {
	s := StageStats{
		Name: st.name, Kind: st.kind, Workers: st.workers, Limits: st.limits,
		In: st.in.Load(), Out: st.out.Load(), Dropped: st.dropped.Load(),
		Unit: "items", OutUnit: "items", ended: true,
	}
	if st.bytes {
		s.Unit = "bytes"
	}
	if st.bytesOut {
		s.OutUnit = "bytes"
	}
	for _, sp := range st.spots {
		if !sp.ln.Stopped() {
			s.ended = false
		}
		if st.copy == nil {
			s.addLane(lanes[sp.ln].Of(sp.busy))
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

// addLane adds the time of one lane, as seen from the stage's place in it.
func (s *StageStats) addLane(t clock.Times) {
	s.Wall += time.Duration(t.Wall)
	s.Busy += time.Duration(t.Busy)
	s.Outside += time.Duration(t.Outside)
	s.Starved += time.Duration(t.Starved)
	s.Blocked += time.Duration(t.Blocked)
	s.Budget += time.Duration(t.Short)
	s.BlockedN += t.BlockedN
}

// Share returns the part of the stage's time, from 0 to 1, that d is.
func (s StageStats) Share(d time.Duration) float64 {
	if s.Wall <= 0 {
		return 0
	}
	return min(1, float64(d)/float64(s.Wall))
}

// String returns the report as a table for people, and the verdict.
func (r Report) String() string {
	var b strings.Builder
	for _, s := range r.Stages {
		fmt.Fprintf(&b, "%-16s busy %3.0f%%  blocked %3.0f%%  starved %3.0f%%  outside %3.0f%%",
			s.Name, 100*s.Share(s.Busy), 100*s.Share(s.Blocked), 100*s.Share(s.Starved), 100*s.Share(s.Outside))
		if s.Unknown > 0 {
			fmt.Fprintf(&b, "  unknown %3.0f%%", 100*s.Share(s.Unknown))
		}
		fmt.Fprintf(&b, "  in %s  out %s\n", amount(s.In, s.Unit), amount(s.Out, s.OutUnit))
	}
	for _, p := range r.Pipes {
		fmt.Fprintf(&b, "%-16s peak %s of %s, writers waited %s, %v\n",
			p.Name, FormatBytes(p.Peak), p.Limit, numberOf(p.BlockedN, "time"), p.Blocked.Round(time.Millisecond))
	}
	b.WriteString(r.Verdict.String())
	return b.String()
}

func amount(n int64, unit string) string {
	if unit == "bytes" {
		return FormatBytes(n)
	}
	return fmt.Sprint(n)
}
