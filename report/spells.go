package report

import "time"

// Spells says how long writers of a pipe were blocked at a stretch. A writer that
// is blocked half of the time by every value has many short spells; one that is
// blocked for a second and not for the next has few long ones. Waits that follow
// each other closely are one spell: a writer that waits for each value of a slow
// reader is blocked all the time.
type Spells struct {
	// Counts has how many spells that are over took how long: Counts[i] those
	// that took at most [SpellBound](i), and longer than the bound before. The
	// last one counts all longer ones.
	Counts [SpellBounds + 1]int64

	Total   time.Duration // of the spells that are over
	Current time.Duration // how long the spell that goes on has taken; 0: none does
}

// SpellBounds is how many bounds Spells has.
const SpellBounds = 12

// firstSpellBound is about 16 µs, a power of two.
const firstSpellBound = 1 << 14

// SpellBound returns the bound with index i, from 0: about 16 µs, and each four
// times the one before, up to about 69 s.
func SpellBound(i int) time.Duration { return firstSpellBound << (2 * i) }
