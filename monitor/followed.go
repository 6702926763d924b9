package monitor

import (
	"sync"
	"time"

	"github.com/weir-go/weir/report"
)

const (
	mostFollowed  = 64               // transfers
	followedUntil = 10 * time.Second // after the last request for a transfer
)

// followed judges the transfers that clients ask about one by one. Without it their
// verdict would be about all of a transfer, and that of every other view about the
// last seconds.
type followed struct {
	mu  sync.Mutex // held for a judgement only
	all map[transferKey]*followedTransfer
}

type transferKey struct {
	group string
	id    uint64
}

type followedTransfer struct {
	watcher *report.Watcher // of rep
	rep     report.Report
	asked   time.Time
}

// judge replaces the verdict of rep, the latest report on a transfer, by that on the
// last seconds, once it is known.
func (f *followed) judge(key transferKey, rep report.Report, now time.Time) report.Report {
	f.mu.Lock()
	defer f.mu.Unlock()
	x := f.all[key]
	if x == nil {
		f.makeRoom(now)
		x = &followedTransfer{rep: rep}
		x.watcher = report.Watch(func() report.Report { return x.rep })
		f.all[key] = x
	}
	x.asked = now
	if rep.Wall > x.rep.Wall { // else another request has overtaken this one
		x.rep = rep
	}
	if held, _ := x.watcher.Look(); !held.Verdict.Measuring {
		rep.Verdict = held.Verdict
	}
	return rep
}

// makeRoom forgets the transfers that nobody asks about any more and, if there are
// still too many, the one that was asked about least recently.
func (f *followed) makeRoom(now time.Time) {
	if f.all == nil {
		f.all = map[transferKey]*followedTransfer{}
	}
	for len(f.all) > 0 {
		var oldest transferKey
		at := now
		for key, x := range f.all {
			if !x.asked.After(at) {
				oldest, at = key, x.asked
			}
		}
		if now.Sub(at) < followedUntil && len(f.all) < mostFollowed {
			return
		}
		delete(f.all, oldest)
	}
}
