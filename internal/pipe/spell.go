package pipe

import (
	"math/bits"
	"time"
)

// Spells is how long writers of a pipe were blocked at a stretch. Package report
// has the same type, and describes it.
type Spells struct {
	Counts  [13]int64
	Total   time.Duration
	Current time.Duration
}

// firstSpell is the greatest length of a spell that Counts[0] counts, a power of
// two in nanoseconds. Each further one counts spells four times as long.
const firstSpell = 1 << 14

// add counts a spell that is over.
func (s *Spells) add(d time.Duration) {
	s.Total += d
	i := 0
	if d > 0 {
		i = (bits.Len64(uint64(d-1)/firstSpell) + 1) / 2
	}
	s.Counts[min(i, len(s.Counts)-1)]++
}

// spell measures how long one side has waited without a real pause. Waits
// belong to one spell if the time between them is short compared with the last
// of them: a writer that waits for each value that a slow reader takes is
// blocked all the time.
type spell struct {
	over       Spells
	from       int64 // when the spell began
	wait, idle int64 // when its last wait began and ended; idle is 0 during the wait
	any        bool  // there is a spell, which can continue after a pause
}

// spellGap is the part of the last wait that a pause within a spell may take.
const spellGap = 4

// begin is called when the first goroutine starts to wait.
func (s *spell) begin(now int64) {
	if s.any && s.paused(now) {
		s.over.add(time.Duration(s.idle - s.from))
		s.any = false
	}
	if !s.any {
		s.any, s.from = true, now
	}
	s.wait, s.idle = now, 0
}

// pause is called when nobody waits any more.
func (s *spell) pause(now int64) { s.idle = now }

// paused reports whether the pause has been too long for the spell to continue.
func (s *spell) paused(now int64) bool {
	return s.idle != 0 && now-s.idle > (s.idle-s.wait)/spellGap
}

// until returns the spells until now. If ended, there are no more waits.
func (s *spell) until(now int64, ended bool) Spells {
	all := s.over
	switch {
	case !s.any:
	case s.paused(now) || ended && s.idle != 0:
		all.add(time.Duration(s.idle - s.from))
	default:
		all.Current = time.Duration(max(1, now-s.from))
	}
	return all
}
