package weir

import "time"

// Watcher looks at a running flow from time to time and says what governs it
// now, rather than since the beginning. It is for one goroutine; the zero
// Watcher is not useful, see [Flow.Watch].
type Watcher struct {
	f     *Flow
	last  Report
	at    time.Time // of the last look
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
	return &Watcher{f: f, last: f.Stats(), at: t, since: t, shown: Verdict{Measuring: true}}
}

// Look returns the flow's report with the times, counts and verdict of the span
// since the last Look, and since when the verdict has held. Until a verdict has
// held for 2 seconds it is that weir is measuring. Call Look a few times a
// second. Pipes are reported as they are.
func (w *Watcher) Look() (Report, time.Time) {
	t := time.Now()
	r := w.f.Stats()
	d := r
	if r.Wall >= w.last.Wall {
		d.Stages = since(r.Stages, w.last.Stages)
		d.Wall = r.Wall - w.last.Wall
	} else { // another run
		w.shown, w.since, w.nextT = Verdict{Measuring: true}, t, time.Time{}
	}
	if v, ok := copyVerdict(d.Stages, d.Wall, d.Kernel); ok {
		d.Verdict = v
	} else if len(d.Stages) > 0 && !waitsToStart(d.Stages) {
		d.Verdict = judge(d.Stages, d.Wall)
	}
	w.hold(d.Verdict, t)
	w.last, w.at = r, t
	if w.shown.agrees(d.Verdict) {
		w.shown = d.Verdict // the same, with the numbers of now
	}
	d.Verdict = w.shown
	return d, w.since
}

// waitsToStart reports whether nothing has been opened yet: the verdict is then
// the one on the whole run, which waits for its budget.
func waitsToStart(stages []StageStats) bool {
	for _, s := range stages {
		if s.Wall > 0 {
			return false
		}
	}
	return true
}

// hold lets v, the verdict on the time between the last look and t, replace the
// one that is shown once it has held long enough.
func (w *Watcher) hold(v Verdict, t time.Time) {
	if v.agrees(w.shown) {
		w.nextT = time.Time{}
		return
	}
	if w.nextT.IsZero() || !v.agrees(w.next) {
		w.next, w.nextT = v, w.at
	}
	if t.Sub(w.nextT) >= verdictHold {
		w.shown, w.since, w.nextT = v, w.nextT, time.Time{}
	}
}
