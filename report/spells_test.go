package report

import (
	"testing"
	"time"
)

func TestSpells_CountsEachBelowTheFirstBoundThatItDoesNotPass(t *testing.T) {
	for i := range SpellBounds {
		bound := SpellBound(i)
		for d, want := range map[time.Duration]int{bound - 1: i, bound: i, bound + 1: i + 1} {
			var s Spells
			s.Add(d)
			if s.Counts[want] != 1 || s.Total != d {
				t.Errorf("%v is counted in %v, want it in %d", d, s.Counts, want)
			}
		}
		if i > 0 && bound != 4*SpellBound(i-1) {
			t.Errorf("bound %d is %v, and the one before %v", i, bound, SpellBound(i-1))
		}
	}
	var s Spells
	for _, d := range []time.Duration{0, -1, 1, time.Hour, 1<<63 - 1} {
		s.Add(d)
	}
	if s.Counts[0] != 3 || s.Counts[SpellBounds] != 2 {
		t.Errorf("%v", s.Counts)
	}
}
