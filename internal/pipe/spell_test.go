package pipe

import (
	"testing"
	"time"
)

func bound(i int) time.Duration { return firstSpell << (2 * i) }

func TestSpells_CountsEachBelowTheFirstBoundThatItDoesNotPass(t *testing.T) {
	for i := range len(Spells{}.Counts) - 1 {
		most := bound(i)
		for d, want := range map[time.Duration]int{most - 1: i, most: i, most + 1: i + 1} {
			var s Spells
			s.add(d)
			if s.Counts[want] != 1 || s.Total != d {
				t.Errorf("%v is counted in %v, want it in %d", d, s.Counts, want)
			}
		}
		if i > 0 && most != 4*bound(i-1) {
			t.Errorf("bound %d is %v, and the one before %v", i, most, bound(i-1))
		}
	}
	var s Spells
	for _, d := range []time.Duration{0, -1, 1, time.Hour, 1<<63 - 1} {
		s.add(d)
	}
	if s.Counts[0] != 3 || s.Counts[len(s.Counts)-1] != 2 {
		t.Errorf("%v", s.Counts)
	}
}
