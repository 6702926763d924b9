package clock_test

import (
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/weir-go/weir/internal/clock"
)

const second = int64(time.Second)

// at moves the clock to a place and lets so many seconds pass there.
func at(c *clock.Clock, place int32, seconds int) {
	c.Enter(place)
	time.Sleep(time.Duration(seconds) * time.Second)
}

func TestClock_SeesEachStageFromItsPlaceInTheLane(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var c clock.Clock
		c.Reset(2)
		first, second := clock.Busy(0), clock.Busy(1)
		c.Start(first)
		time.Sleep(time.Second)
		at(&c, clock.Outside(first), 2)
		at(&c, second, 3)
		at(&c, clock.Outside(second), 4)
		at(&c, c.Starved(), 5)
		at(&c, c.Blocked(), 6)
		check := func(when string) {
			t.Helper()
			r := c.Until(clock.Now())
			for _, s := range []struct {
				busy int32
				want clock.Times
			}{
				{first, clock.Times{Wall: 21, Busy: 1, Outside: 2, Starved: 5, Blocked: 6 + 3 + 4, BlockedN: 1}},
				{second, clock.Times{Wall: 21, Busy: 3, Outside: 4, Starved: 5 + 1 + 2, Blocked: 6, BlockedN: 1}},
			} {
				got := r.Of(s.busy)
				for _, d := range []*int64{&got.Wall, &got.Busy, &got.Outside, &got.Starved, &got.Blocked, &got.Short} {
					*d /= int64(time.Second)
				}
				if got != s.want {
					t.Errorf("%s, the stage at place %d: %+v, want %+v", when, s.busy, got, s.want)
				}
			}
		}
		check("while it is blocked")
		if c.At() != c.Blocked() || c.Stopped() {
			t.Errorf("at place %d, stopped: %v", c.At(), c.Stopped())
		}
		c.Enter(c.Starved())
		c.Stop()
		time.Sleep(time.Hour)
		check("after the end")
		if !c.Stopped() {
			t.Error("it has not stopped")
		}
	})
}

func TestClock_ReadsNothingBeforeItStarts(t *testing.T) {
	var c clock.Clock
	c.Reset(1)
	if got := c.Until(clock.Now()).Of(clock.Busy(0)); got != (clock.Times{}) {
		t.Errorf("%+v", got)
	}
}

func TestClock_BackReadsTheTimeOnceUntilAStageHasWorked(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var c clock.Clock
		c.Reset(3)
		c.Start(clock.Busy(2))
		time.Sleep(time.Second)
		c.Back(clock.Busy(1)) // reads the time
		time.Sleep(time.Second)
		c.Back(clock.Busy(0)) // does not: what has passed is taken for the way back
		time.Sleep(time.Second)
		c.Stale()
		c.Back(c.Starved()) // reads it again
		for i, want := range []int64{2, 0, 1} {
			if got := c.Spent(clock.Busy(i)) / second; got != want {
				t.Errorf("stage %d was busy for %d s, want %d", i, got, want)
			}
		}
	})
}

func TestClock_ShortIsAPartOfTheBlockedTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var c clock.Clock
		c.Reset(1)
		c.Start(clock.Busy(0))
		at(&c, c.Blocked(), 1)
		c.Short().Begin()
		time.Sleep(2 * time.Second)
		if got := c.Until(clock.Now()).Of(clock.Busy(0)); got.Short != 2*second || got.Blocked != 3*second {
			t.Errorf("while it goes on: %+v", got)
		}
		c.Short().End()
		c.Enter(clock.Busy(0))
		time.Sleep(time.Second)
		if got := c.Until(clock.Now()).Of(clock.Busy(0)); got.Short != 2*second || got.Busy != second {
			t.Errorf("afterwards: %+v", got)
		}
	})
}

// A reader that looks while the lane moves sees no time twice, and none is
// missing.
func TestClock_StatesAddUpToTheLifetimeWheneverItIsRead(t *testing.T) {
	var c clock.Clock
	c.Reset(2)
	c.Start(c.Starved())
	var wg sync.WaitGroup
	for range 2 {
		wg.Go(func() {
			for range 20_000 {
				r := c.Until(clock.Now())
				for i := range 2 {
					s := r.Of(clock.Busy(i))
					if sum := s.Busy + s.Outside + s.Starved + s.Blocked; sum != s.Wall || s.Wall < 0 {
						t.Errorf("the states add up to %d of %d ns: %+v", sum, s.Wall, s)
						return
					}
				}
			}
		})
	}
	for i := range 40_000 {
		c.Enter(int32(i) % (c.Blocked() + 1))
	}
	c.Stop()
	wg.Wait()
}

func TestSpan_AddsUpWhatHasEndedAndWhatGoesOn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var s clock.Span
		for range 3 {
			s.Begin()
			time.Sleep(time.Second)
			s.End()
			time.Sleep(time.Second)
		}
		s.Begin()
		time.Sleep(time.Second)
		if got := s.Until(clock.Now()); got != 4*second {
			t.Errorf("%v", time.Duration(got))
		}
	})
}
