package report

import "time"

// Watcher looks at a running flow from time to time and names the bottleneck of
// the last seconds, not of the whole run. It is for one goroutine. Make one
// with [Watch].
type Watcher struct {
	get   func() Report
	last  look
	looks []look // of the last verdictSpan and the one before
	shown Verdict
	since time.Time // when it became true
	at    time.Time // when it was shown first
	next  Verdict
	nextT time.Time
}

// look is a report with its time.
type look struct {
	at time.Time
	r  Report
}

// verdictSpan is the time that a verdict is about. A shorter one would see a
// single value in work here, and the next one there.
const verdictSpan = 2 * time.Second

// Hold is how long a verdict must hold before it counts, because at each change
// averages name the wrong stage for a moment.
const Hold = 2 * time.Second

// Watch returns a Watcher that calls get for reports on a flow. get is, for
// instance, the method Report of a flow of package weir.
//
//	watcher := report.Watch(flow.Report)
func Watch(get func() Report) *Watcher {
	t := time.Now()
	return watchFrom(get, look{t, get()})
}

func watchFrom(get func() Report, l look) *Watcher {
	return &Watcher{get: get, last: l, looks: []look{l}, since: l.at, shown: Verdict{Measuring: true}}
}

// Look returns the flow's report and the time since when its verdict has held. The
// times and counts of the stages cover the period since the last Look. The verdict
// covers the last 2 seconds, or the period since the last Look if that is longer. It
// is measuring until a verdict has held for 2 seconds. Another verdict replaces it
// when that has held for 2 seconds. Pipes are reported as they are now. Call Look a
// few times a second.
func (w *Watcher) Look() (Report, time.Time) {
	t := time.Now()
	r := w.get()
	if r.Wall < w.last.r.Wall { // another run
		*w = *watchFrom(w.get, look{t, Report{}})
	}
	last := w.last
	for len(w.looks) > 1 && t.Sub(w.looks[1].at) >= verdictSpan {
		w.looks = w.looks[1:]
	}
	first := w.looks[0]
	w.hold(w.judge(r, first.r), first.at, last.at, t)
	w.last = look{t, r}
	if t.Sub(w.looks[len(w.looks)-1].at) >= verdictSpan/20 { // few, however often they come
		w.looks = append(w.looks, w.last)
	}

	r.Stages, r.Wall = Since(r.Stages, last.r.Stages), r.Wall-last.r.Wall
	r.Verdict = w.shown
	return r, w.since
}

// judge returns the verdict on the time between two reports.
func (w *Watcher) judge(r, was Report) Verdict {
	stages, wall := Since(r.Stages, was.Stages), r.Wall-was.Wall
	if v, ok := JudgeCopy(stages, wall, r.Kernel); ok {
		return v
	}
	if len(stages) == 0 || waitsToStart(stages) {
		return r.Verdict
	}
	return judge(stages, wall)
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

// hold lets v, the verdict on the time from first to t, replace the one that is
// shown once it has held long enough. The last look before was at last.
func (w *Watcher) hold(v Verdict, first, last, t time.Time) {
	if v.agrees(w.shown) {
		w.shown, w.nextT = v, time.Time{} // the same, with the numbers of now
		return
	}
	if v.mayBe(w.shown) {
		w.nextT = time.Time{}
		return
	}
	if !w.nextT.IsZero() && v.mayBe(w.next) {
		v = w.next
	}
	if w.nextT.IsZero() || !v.agrees(w.next) {
		// Where the verdict changes, the new one has held for most of the time
		// that it is about when it is first seen.
		w.nextT = last.Add(-verdictSpan / 2)
		if v.None() { // the time that it is about may just be half of one stage and half of another
			w.nextT = last
		}
		if w.shown.Measuring || w.nextT.Before(first) {
			w.nextT = first
		}
	}
	w.next = v
	if t.Sub(w.nextT) >= Hold && (w.shown.Measuring || t.Sub(w.at) >= Hold) {
		w.shown, w.since, w.at, w.nextT = v, w.nextT, t, time.Time{}
	}
}
