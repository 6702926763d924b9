package report

import "time"

// Spells is a histogram of how long the writers of a pipe were blocked at a stretch.
// A writer that is blocked for a moment at every value has many short spells. A
// writer that is blocked for one second and free for the next has few long ones.
// Waits that follow each other closely count as one spell: a writer that waits for a
// slow reader at each value is blocked all the time.
type Spells struct {
	// Counts[i] is the number of ended spells that took at most [SpellBound](i)
	// and longer than the bound before. The last one counts all longer spells.
	Counts [SpellBounds + 1]int64

	Total   time.Duration // sum of the spells that are over
	Current time.Duration // length of the running spell; 0: there is none
}

// SpellBounds is the number of bounds of Spells.
const SpellBounds = 12

// firstSpellBound is about 16 µs, a power of two.
const firstSpellBound = 1 << 14

// SpellBound returns the bound with index i, from 0: about 16 µs, and each four
// times the one before, up to about 69 s.
func SpellBound(i int) time.Duration { return firstSpellBound << (2 * i) }
