package weir

import "time"

// Watcher looks at a running flow from time to time and says what governs it
// now, rather than since the beginning. It is for one goroutine; the zero
// Watcher is not useful, see [Flow.Watch].
type Watcher struct {
	f     *Flow
	last  Report
	shown Verdict
	since time.Time
	next  Verdict
	nextT time.Time
}

// verdictHold is how long another verdict must have held before it replaces
// the one that is shown: at a change, averages name the wrong stage for a
// moment.
const verdictHold = 2 * time.Second

// Watch returns a Watcher of the flow.
func (f *Flow) Watch() *Watcher {
	t := time.Now()
	return &Watcher{f: f, last: f.Stats(), since: t}
}

// Look returns the flow's report with the times, counts and verdict of the span
// since the last Look, and since when the verdict has held. Call it a few times
// a second. Pipes are reported as they are.
func (w *Watcher) Look() (Report, time.Time) {
	t := time.Now()
	r := w.f.Stats()
	d := r
	d.Stages = make([]StageStats, len(r.Stages))
	d.Wall = r.Wall
	same := len(w.last.Stages) == len(r.Stages) && w.last.Wall <= r.Wall
	for i, s := range r.Stages {
		if same {
			was := w.last.Stages[i]
			s.In, s.Out, s.Dropped = s.In-was.In, s.Out-was.Out, s.Dropped-was.Dropped
			s.Wall, s.Busy, s.Blocked = s.Wall-was.Wall, s.Busy-was.Busy, s.Blocked-was.Blocked
			s.Starved, s.Outside = s.Starved-was.Starved, s.Outside-was.Outside
			s.BlockedN -= was.BlockedN
		}
		d.Stages[i] = s
	}
	if same {
		d.Wall = r.Wall - w.last.Wall
	}
	w.last = r
	if r.Kernel == "" {
		d.Verdict = judge(d.Stages, d.Wall)
	}
	w.hold(d.Verdict, t)
	shown := w.shown
	if shown.Stage == d.Verdict.Stage {
		shown = d.Verdict // the same stage, with the numbers of now
		w.shown = shown
	}
	d.Verdict = shown
	return d, w.since
}

// hold lets v replace the verdict that is shown once it has held long enough.
func (w *Watcher) hold(v Verdict, t time.Time) {
	if v.Stage == w.shown.Stage {
		w.nextT = time.Time{}
		return
	}
	if w.nextT.IsZero() || v.Stage != w.next.Stage {
		w.next, w.nextT = v, t
	}
	if t.Sub(w.nextT) >= verdictHold {
		w.shown, w.since, w.nextT = v, w.nextT, time.Time{}
	}
}
