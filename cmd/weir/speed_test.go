package main

import (
	"testing"
	"time"
)

func TestSpeed_IsThatOfTheLastSeconds(t *testing.T) {
	t.Parallel()
	begin := time.Now()
	var s speed
	s.look(begin, 0, 0)
	in := int64(0)
	var got float64
	for i := 1; i <= 40; i++ { // 10 s at 4,000 B/s
		in += 1000
		got, _ = s.look(begin.Add(time.Duration(i)*250*time.Millisecond), in, in/2)
	}
	if got != 4000 {
		t.Errorf("%v B/s at a steady pace", got)
	}
	for i := 41; i <= 60; i++ { // stalled
		got, _ = s.look(begin.Add(time.Duration(i)*250*time.Millisecond), in, in/2)
	}
	if got != 0 {
		t.Errorf("%v B/s after a stall of 5 s", got)
	}
	if _, known := timeLeft(1<<20, got, time.Minute); known {
		t.Error("a flow that has stalled has a time left")
	}
	for i := 61; i <= 80; i++ {
		in += 4000
		got, _ = s.look(begin.Add(time.Duration(i)*250*time.Millisecond), in, in/2)
	}
	if d, known := timeLeft(32_000, got, time.Minute); got != 16_000 || !known || d != 2*time.Second {
		t.Errorf("%v B/s, %v left", got, d)
	}
}

// A look that comes seldom is about the time since the one before.
func TestSpeed_OfASeldomLook(t *testing.T) {
	t.Parallel()
	begin := time.Now()
	var s speed
	s.look(begin, 0, 0)
	s.look(begin.Add(10*time.Second), 1000, 0)
	if got, _ := s.look(begin.Add(20*time.Second), 1000, 0); got != 0 {
		t.Errorf("%v B/s in 10 s without a byte", got)
	}
}

func TestSpeed_KeepsFewMarks(t *testing.T) {
	t.Parallel()
	begin := time.Now()
	var s speed
	for i := range 100_000 {
		s.look(begin.Add(time.Duration(i)*time.Millisecond), int64(i), 0)
	}
	if n := len(s.marks); n > 45 {
		t.Errorf("%d marks", n)
	}
}
