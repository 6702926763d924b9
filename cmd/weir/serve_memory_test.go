package main

import (
	"slices"
	"testing"
)

func TestGarbageHasRoomOnlyWhileItIsMade(t *testing.T) {
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
	look(5, 16<<20) // of many clients
	if last := set[len(set)-1]; last != 100 {
		t.Errorf("with 16 MiB in use: %d %%, which is not 16 MiB", last)
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

func TestGarbageIsAsTheUserSays(t *testing.T) {
	var w *waste // GOGC is set
	if w.look(1000, 1) {
		t.Error("it wants to give back")
	}
}

func TestMemoryIsGivenBackWhenACrowdHasSettled(t *testing.T) {
	var c crowd
	var gave []int
	for i, n := range []int64{0, 100, 700, 1000, 1001, 1000, 990, 400, 10, 10, 0} {
		if c.settled(n) {
			gave = append(gave, i)
		}
	}
	if !slices.Equal(gave, []int{4, 9}) {
		t.Errorf("given back at %v", gave)
	}
}
