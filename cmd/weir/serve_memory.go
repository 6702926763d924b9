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
	var spare spare
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
		m := readMemory()
		calmed, resting := waste.look(m.cycles, m.live), spare.look(m)
		if calmed || resting {
			debug.FreeOSMemory()
		}
	}
}

// memory is what the runtime tells of its heap.
type memory struct {
	cycles uint64 // collections, but for those that were asked for
	live   uint64 // bytes that were in use at the last of all
	used   uint64 // bytes that are in use now, or garbage
	free   uint64 // bytes that are neither, and not the system's
}

func readMemory() memory {
	s := []metrics.Sample{
		{Name: "/gc/cycles/automatic:gc-cycles"}, {Name: "/gc/heap/live:bytes"},
		{Name: "/memory/classes/heap/objects:bytes"}, {Name: "/memory/classes/heap/free:bytes"},
	}
	metrics.Read(s)
	return memory{s[0].Value.Uint64(), s[1].Value.Uint64(), s[2].Value.Uint64(), s[3].Value.Uint64()}
}

// spare finds the moment to give memory back: there is some, and nobody is busy.
type spare struct {
	before uint64 // used, at the last look
	looks  int    // since something was given back
}

const (
	spareLeast = 1 << 20   // bytes that are worth a collection
	spareRests = 128 << 10 // bytes by which a heap at rest changes at most
	spareLooks = 4         // looks between two times
)

func (s *spare) look(m memory) bool {
	rests := max(m.used, s.before)-min(m.used, s.before) <= spareRests
	s.before = m.used
	s.looks++
	garbage := m.used - min(m.live, m.used)
	if !rests || s.looks < spareLooks || garbage+m.free < spareLeast {
		return false
	}
	s.looks = 0
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
	wasteMost  = 200
	wasteRoom  = 8 << 20 // bytes of garbage at most, from wasteLeast on
	wasteBusy  = 8       // collections between two looks that are many
	wasteLong  = 2       // looks after which that is no burst of clients
	wasteCalm  = 3       // looks without a collection after which little will do
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
