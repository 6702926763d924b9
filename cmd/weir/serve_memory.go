package main

import (
	"context"
	"os"
	"runtime/debug"
	"runtime/metrics"
	"time"
)

// stayThin keeps the memory of the process small where that costs nothing, and
// returns to the system what a burst of clients or of requests has left. While
// clients are slow next to nothing is allocated, and so the garbage collector
// would not come by for minutes.
func (s *serving) stayThin(ctx context.Context) {
	ticker := time.NewTicker(time.Second)
	defer ticker.Stop()
	var crowd crowd
	var waste *waste
	if os.Getenv("GOGC") == "" { // or else somebody has decided
		waste = newWaste(debug.SetGCPercent)
	}
	for {
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
		}
		settled := crowd.settled(s.guard.Transfers.Totals().Active)
		if waste.look(collections()) || settled {
			debug.FreeOSMemory()
		}
	}
}

// crowd is the number of transfers, as it changes.
type crowd struct{ given, before int64 }

// crowdMore is by how much it must have changed, and come to rest, for the
// memory of the change to be given back.
const crowdMore = 256

func (c *crowd) settled(now int64) bool {
	apart := func(a, b int64) int64 { return max(a-b, b-a) }
	rests := apart(now, c.before) < crowdMore/8
	c.before = now
	if !rests || apart(now, c.given) < crowdMore {
		return false
	}
	c.given = now
	return true
}

// waste decides how much garbage there may be before it is collected, in percent
// of what is in use (GOGC). With little of it a crowd of slow clients costs a
// third less memory. Small files asked for by the ten thousand a second take a
// fifth longer then, for collecting all the time: they get more.
type waste struct {
	percent int
	set     func(percent int) int
	cycles  uint64 // until the last look
	busy    int    // looks in a row with wasteBusy and more
	calm    int    // and with none
}

const (
	wasteLeast = 50
	wasteMost  = 400
	wasteRoom  = 16 << 20 // bytes of garbage at most, from wasteLeast on
	wasteBusy  = 8        // collections between two looks that are many
	wasteLong  = 2        // looks after which that is no burst of clients
	wasteCalm  = 3        // looks without a collection after which little will do
)

func newWaste(set func(int) int) *waste {
	set(wasteLeast)
	return &waste{percent: wasteLeast, set: set}
}

// look is told how many collections there have been, and how many bytes are in
// use. It reports whether there is much to give back.
func (w *waste) look(cycles, used uint64) bool {
	if w == nil {
		return false
	}
	n := cycles - w.cycles
	w.cycles = cycles
	if w.busy++; n < wasteBusy {
		w.busy = 0
	}
	if w.calm++; n > 0 {
		w.calm = 0
	}
	want := w.percent
	switch {
	case w.percent > wasteLeast && w.calm >= wasteCalm:
		want = wasteLeast
	case w.percent > wasteLeast, w.busy >= wasteLong:
		want = int(min(max(100*wasteRoom/max(used, 1), wasteLeast), wasteMost))
	}
	less := want == wasteLeast && w.percent > wasteLeast
	if less || want > w.percent*5/4 || want < w.percent*3/4 {
		w.percent = want
		w.set(want)
	}
	return less
}

// collections returns how many times the garbage has been collected, but for
// those that were asked for, and how many bytes were in use at the last time.
func collections() (cycles, used uint64) {
	s := []metrics.Sample{{Name: "/gc/cycles/automatic:gc-cycles"}, {Name: "/gc/heap/live:bytes"}}
	metrics.Read(s)
	return s[0].Value.Uint64(), s[1].Value.Uint64()
}
