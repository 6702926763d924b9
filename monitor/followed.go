package monitor

import (
	"maps"
	"sync"
	"time"

	"github.com/weir-go/weir/report"
)

const (
	mostFollowed  = 64               // transfers
	followedUntil = 10 * time.Second // after the last request for a transfer
)

// judge replaces the verdicts of reports on one transfer, which are about all of it, by
// verdicts on its last seconds. The zero value is ready.
type judge struct {
	latest  report.Report
	watcher *report.Watcher // of latest
}

// look returns rep with its verdict replaced, and the time since when that has held. Until
// there is such a verdict, rep stays as it is and the time is zero.
func (j *judge) look(rep report.Report) (report.Report, time.Time) {
	if j.watcher == nil {
		j.latest = rep
		j.watcher = report.Watch(func() report.Report { return j.latest })
	}
	if rep.Wall > j.latest.Wall { // else a later request has overtaken this one
		j.latest = rep
	}
	held, since := j.watcher.Look()
	if held.Verdict.Measuring {
		return rep, time.Time{}
	}
	rep.Verdict = held.Verdict
	return rep, since
}

// followed has a judge for each of the transfers that clients ask about one by one.
type followed struct {
	mu  sync.Mutex // held for a judgement only
	all map[transferKey]*followedTransfer
}

type transferKey struct {
	group string
	id    uint64
}

type followedTransfer struct {
	judge
	asked time.Time
}

// look returns rep, the latest report on a transfer, as its judge does.
func (f *followed) look(key transferKey, rep report.Report, now time.Time) report.Report {
	f.mu.Lock()
	defer f.mu.Unlock()
	x := f.all[key]
	if x == nil {
		f.makeRoom(now)
		x = &followedTransfer{}
		f.all[key] = x
	}
	x.asked = now
	rep, _ = x.look(rep)
	return rep
}

// makeRoom forgets the transfers that nobody asks about any more and, if there are
// still too many, the one that was asked about least recently.
func (f *followed) makeRoom(now time.Time) {
	if f.all == nil {
		f.all = map[transferKey]*followedTransfer{}
	}
	maps.DeleteFunc(f.all, func(_ transferKey, x *followedTransfer) bool { return now.Sub(x.asked) >= followedUntil })
	if len(f.all) < mostFollowed {
		return
	}
	oldest, at := transferKey{}, now
	for key, x := range f.all {
		if !x.asked.After(at) {
			oldest, at = key, x.asked
		}
	}
	delete(f.all, oldest)
}
