package main

import "time"

// speed finds how fast bytes moved in the last seconds, so that a flow that has
// stalled shows 0 and one that has picked up shows that.
type speed struct{ marks []mark }

// mark is how many bytes had moved at one time.
type mark struct {
	at      time.Time
	in, out int64
}

const (
	speedSpan = 4 * time.Second // the span of a rate, or since the last look
	speedStep = 100 * time.Millisecond
)

// look returns the rates, in bytes a second, at which in and out have grown
// until t.
func (s *speed) look(t time.Time, in, out int64) (inRate, outRate float64) {
	if len(s.marks) == 0 {
		s.marks = []mark{{t, in, out}}
		return 0, 0
	}
	for len(s.marks) > 1 && t.Sub(s.marks[1].at) >= speedSpan {
		s.marks = s.marks[1:]
	}
	first := s.marks[0]
	if t.Sub(s.marks[len(s.marks)-1].at) >= speedStep {
		s.marks = append(s.marks, mark{t, in, out})
	}
	took := t.Sub(first.at).Seconds()
	if took <= 0 {
		return 0, 0
	}
	return float64(max(0, in-first.in)) / took, float64(max(0, out-first.out)) / took
}

// timeLeft returns how long the rest takes at the rate of the last seconds. known is
// false as long as there is no such rate.
func timeLeft(rest int64, perSecond float64, took time.Duration) (d time.Duration, known bool) {
	if took <= 3*time.Second || perSecond < 1 {
		return 0, false
	}
	return time.Duration(float64(max(0, rest)) / perSecond * float64(time.Second)), true
}
