package main

import (
	"runtime/metrics"
)

// memory is the state of the heap.
type memory struct {
	cycles uint64 // collections, except those that the program asked for
	live   uint64 // bytes in use at the last collection
	used   uint64 // bytes in use now, and garbage
	free   uint64 // bytes that are neither, and not returned to the system
}

func readMemory() memory {
	s := []metrics.Sample{
		{Name: "/gc/cycles/automatic:gc-cycles"}, {Name: "/gc/heap/live:bytes"},
		{Name: "/memory/classes/heap/objects:bytes"}, {Name: "/memory/classes/heap/free:bytes"},
	}
	metrics.Read(s)
	return memory{s[0].Value.Uint64(), s[1].Value.Uint64(), s[2].Value.Uint64(), s[3].Value.Uint64()}
}

// spare finds the moment to return memory: there is some, and the server is idle.
type spare struct {
	before uint64 // used, at the last look
	looks  int    // since memory was returned
}

const (
	spareLeast = 1 << 20   // bytes that are worth a collection
	spareRests = 128 << 10 // bytes by which an idle heap changes at most
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

// waste chooses how much garbage can gather, in percent of the memory in use (GOGC). With
// little garbage, a crowd of slow clients costs a third less memory. But ten thousand small
// files a second then take a fifth longer, because the collector runs all the time; under
// such a load waste allows more garbage.
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

// look records the number of collections and the bytes in use. It reports whether there is
// much memory to return.
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
