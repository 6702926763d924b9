// Package clock keeps account of where the time of a lane goes. A lane is a
// goroutine that several stages share: at any moment it is in one place, in the
// code of one of its stages (busy), inside that stage's Read or Write of the
// outside world (outside), or parked at its input (starved) or its output
// (blocked). From the times of the places follow the states of every stage:
// while the lane is in a stage further down, the stages before it are blocked by
// it and those after it are starved.
package clock

import "sync/atomic"

// Clock is the clock of one lane. Only the lane's goroutine moves it; anyone may
// read it. It must not be copied, and is of no use before Reset.
type Clock struct {
	stages   int32
	at       atomic.Int32
	spent    []atomic.Int64 // nanoseconds at each place
	last     int64
	fresh    bool         // nothing has run since last but the way back from a push
	start    atomic.Int64 // 0: not yet
	stop     atomic.Int64 // 0: still running
	blockedN atomic.Int64
	short    Span
}

// Busy returns the place of a lane that runs the code of its stage i, counted from 0
// at the source.
func Busy(i int) int32 { return int32(2 * i) }

// Outside returns the place of a lane that waits for the outside world in stage i,
// which is busy at the place busy.
func Outside(busy int32) int32 { return busy + 1 }

// Stage returns the number of the stage that place belongs to. It is no stage of
// the lane's for the places Starved and Blocked.
func Stage(place int32) int { return int(place) / 2 }

// Starved returns the place of a lane that waits for values.
func (c *Clock) Starved() int32 { return 2 * c.stages }

// Blocked returns the place of a lane that waits for room.
func (c *Clock) Blocked() int32 { return 2*c.stages + 1 }

// Reset gets the clock ready for a lane of so many stages.
func (c *Clock) Reset(stages int) {
	c.stages = int32(stages)
	c.spent = make([]atomic.Int64, 2*stages+2)
}

// Start starts the clock at a place.
func (c *Clock) Start(place int32) {
	c.last = Now()
	c.at.Store(place)
	c.start.Store(c.last)
}

// Stop stops the clock permanently.
func (c *Clock) Stop() {
	c.Enter(c.at.Load())
	c.stop.Store(c.last)
}

// Stopped reports whether the clock has been stopped.
func (c *Clock) Stopped() bool { return c.stop.Load() != 0 }

// At returns the place where the lane is.
func (c *Clock) At() int32 { return c.at.Load() }

// Enter moves the clock to another place. The time since the last move belongs
// to the place it was at.
func (c *Clock) Enter(place int32) { c.Switch(place, Now()) }

// Switch is Enter at time t. It returns the place where the clock was.
func (c *Clock) Switch(place int32, t int64) (was int32) {
	was = c.at.Load()
	a := &c.spent[was]
	a.Store(a.Load() + t - c.last)
	c.last, c.fresh = t, false
	c.at.Store(place)
	if place == c.Blocked() {
		c.blockedN.Add(1)
	}
	return was
}

// Back moves the clock to a place whose push has returned. Where the stages
// further down have done nothing since the clock was read, it is not read again.
func (c *Clock) Back(place int32) {
	if c.fresh {
		c.at.Store(place)
		return
	}
	c.Enter(place)
	c.fresh = true
}

// Stale says that a stage has worked since the clock was read.
func (c *Clock) Stale() { c.fresh = false }

// Spent returns the nanoseconds at a place, up to when the clock was last read.
func (c *Clock) Spent(place int32) int64 { return c.spent[place].Load() }

// BlockedN returns how often the lane has waited for room.
func (c *Clock) BlockedN() int64 { return c.blockedN.Load() }

// Short returns the part of the blocked time in which the room was there and only the
// budget had no memory.
func (c *Clock) Short() *Span { return &c.short }

// Until returns the reading of the clock at time t. Time that the counters do
// not include yet belongs to the place where the lane is now, so that the times
// of all places add up to the lane's lifetime.
func (c *Clock) Until(t int64) Reading {
	r := Reading{places: make([]int64, len(c.spent))}
	if c.start.Load() == 0 {
		return r
	}
	end := t
	if stop := c.stop.Load(); stop != 0 {
		end = stop
	}
	var sum int64
	at := c.at.Load()
	for i := range c.spent {
		r.places[i] = c.spent[i].Load()
		sum += r.places[i]
	}
	r.wall = max(end-c.start.Load(), sum)
	r.places[at] += r.wall - sum
	r.short = min(c.short.Until(t), r.places[c.Blocked()])
	r.blockedN = c.blockedN.Load()
	return r
}

// Reading is a reading of a clock at one time.
type Reading struct {
	places                []int64
	wall, short, blockedN int64
}

// Times are the nanoseconds that a lane spent in each state of a stage. Wall is
// the sum of all but Short. Short is the part of Blocked during which the pipe
// had room but the budget had no memory. BlockedN is how often the lane waited
// for room.
type Times struct {
	Wall, Busy, Outside, Starved, Blocked int64
	Short, BlockedN                       int64
}

// Of returns the times of the stage that is busy at the place busy.
func (r Reading) Of(busy int32) Times {
	t := Times{Wall: r.wall, Short: r.short, BlockedN: r.blockedN}
	starved := int32(len(r.places) - 2)
	t.Starved, t.Blocked = r.places[starved], r.places[starved+1]
	for i, d := range r.places[:starved] {
		switch place := int32(i); {
		case place < busy:
			t.Starved += d
		case place == busy:
			t.Busy = d
		case place == Outside(busy):
			t.Outside = d
		default:
			t.Blocked += d
		}
	}
	return t
}

// Span adds up intervals, of which at most one is running. One goroutine begins
// and ends them; any goroutine can read the sum.
type Span struct{ since, sum atomic.Int64 }

// Begin is called when a time begins.
func (s *Span) Begin() { s.since.Store(Now()) }

// End is called when it ends.
func (s *Span) End() { s.sum.Add(Now() - s.since.Swap(0)) }

// Until returns the sum until t, in nanoseconds.
func (s *Span) Until(t int64) int64 {
	sum := s.sum.Load()
	if from := s.since.Load(); from != 0 {
		sum += max(0, t-from)
	}
	return sum
}
