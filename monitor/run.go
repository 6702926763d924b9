package monitor

import (
	"time"

	"github.com/weir-go/weir"
	"github.com/weir-go/weir/report"
)

// run is one run of a flow.
type run struct {
	id    uint64
	flow  *weir.Flow
	start time.Time

	// Guarded by Monitor.mu.
	ended    bool
	final    report.Report // once it has ended
	counted  report.Report // final, with the names that metrics have
	seen     bool          // the sampler has looked at it
	shown    report.Report // its latest report, with the verdict that is shown
	polled   bool          // it ran when Watch was called: nobody reports its end
	progress []time.Time   // when each stage moved a value last

	adopted time.Time // when it was registered
	label   string    // of its metrics, if there is room for it

	// Of the sampler only.
	watcher *report.Watcher // of latest
	latest  report.Report
	looks   []look // of the last second, the oldest first
	named   string // the bottleneck of which the last event spoke
	stalled bool
	card    *Flow // once it has ended
}

// labelOf is the label of the run in metrics: where its name has nothing that may
// be one, as the path that a server answers, its sink has. Monitor.mu is held.
func (r *run) labelOf(rep report.Report) string {
	if n := len(rep.Stages); r.label == "" && n > 0 {
		r.label = cleanLabel(rep.Stages[n-1].Name)
	}
	return r.label
}

// lastSeen returns the latest report on r.
func (r *run) lastSeen(m *Monitor) report.Report {
	m.mu.Lock()
	defer m.mu.Unlock()
	return r.shown
}

// note records the latest report and when each stage moved something. Monitor.mu
// is held.
func (r *run) note(rep report.Report, t time.Time) {
	for i := range rep.Stages {
		if i >= len(r.progress) {
			r.progress = append(r.progress, time.Time{})
		}
		if was := r.shown; i < len(was.Stages) && moved(rep, was, i) || rep.Stages[i].In+rep.Stages[i].Out > 0 && i >= len(was.Stages) {
			r.progress[i] = t
		}
	}
	r.shown = rep
}

// lastProgress is when any stage moved a value last, or when the run was
// registered.
func (r *run) lastProgress() time.Time {
	last := r.adopted
	for _, t := range r.progress {
		if t.After(last) {
			last = t
		}
	}
	return last
}
