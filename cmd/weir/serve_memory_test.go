package main

import (
	"slices"
	"testing"
)

func TestServe_GarbageHasRoomOnlyWhileItIsMade(t *testing.T) {
	t.Parallel()
	var set []int
	w := newWaste(func(percent int) int { set = append(set, percent); return 0 })
	cycles := uint64(0)
	look := func(more, used uint64) bool {
		cycles += more
		return w.look(cycles, used)
	}
	for _, more := range []uint64{0, 7, 30, 0, 30, 7, 0, 0, 0} { // a burst of clients, and rest
		if look(more, 1<<20) {
			t.Error("there is something to give back, and nothing was given")
		}
	}
	if !slices.Equal(set, []int{wasteLeast}) {
		t.Fatalf("after a burst: %v", set)
	}
	look(40, 1<<20) // many requests
	look(40, 1<<20)
	look(5, 1<<20)
	look(0, 1<<20) // a pause that is short
	look(5, 1<<20)
	if !slices.Equal(set, []int{wasteLeast, wasteMost}) {
		t.Fatalf("after many requests: %v", set)
	}
	look(5, 8<<20) // of many clients
	if last := set[len(set)-1]; last != 100 {
		t.Errorf("with 8 MiB in use: %d %%, which is not 8 MiB", last)
	}
	look(5, 1<<40)
	if last := set[len(set)-1]; last != wasteLeast {
		t.Errorf("with a TiB in use: %d %%", last)
	}
	look(40, 1<<20)
	look(40, 1<<20)
	for i := range wasteCalm {
		if back := look(0, 1<<20); back != (i == wasteCalm-1) {
			t.Errorf("look %d after the last request: %v", i+1, back)
		}
	}
	if last := set[len(set)-1]; last != wasteLeast {
		t.Errorf("at rest: %d %%", last)
	}
}

func TestServe_GarbageIsAsTheUserSays(t *testing.T) {
	t.Parallel()
	var w *waste // GOGC is set
	if w.look(1000, 1) {
		t.Error("it wants to give back")
	}
}

func TestServe_MemoryIsGivenBackAtRest(t *testing.T) {
	t.Parallel()
	var s spare
	var gave []int
	const mib = 1 << 20
	for i, m := range []memory{
		{used: 2 * mib, live: 2 * mib}, // nothing is spare
		{used: 9 * mib, live: 2 * mib}, // a crowd comes
		{used: 12 * mib, live: 9 * mib},
		{used: 15 * mib, live: 9 * mib},
		{used: 15 * mib, live: 9 * mib}, // and rests
		{used: 9 * mib, live: 9 * mib, free: 10 << 10},
		{used: 9 * mib, live: 9 * mib, free: 2 * mib}, // too soon
		{used: 9 * mib, live: 9 * mib, free: 2 * mib},
		{used: 9 * mib, live: 9 * mib, free: 2 * mib},
	} {
		if s.look(m) {
			gave = append(gave, i)
		}
	}
	if !slices.Equal(gave, []int{4, 8}) {
		t.Errorf("given back at %v", gave)
	}
}

func TestServe_RuntimeTellsOfItsMemory(t *testing.T) {
	t.Parallel()
	m := readMemory()
	if m.used == 0 || m.used > 1<<40 || m.live > 1<<40 || m.free > 1<<40 {
		t.Errorf("%+v", m)
	}
}
