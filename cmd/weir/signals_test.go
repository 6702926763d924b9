package main

import (
	"os"
	"syscall"
	"testing"
	"time"
)

func TestStopper_TellsASecondRequestFromAnEcho(t *testing.T) {
	t.Parallel()
	begin := time.Now()
	for _, c := range []struct {
		name   string
		first  os.Signal
		second os.Signal
		after  time.Duration
		again  bool
	}{
		{"timeout(1) signals the command and its group", syscall.SIGTERM, syscall.SIGTERM, time.Millisecond, false},
		{"a shell and the kernel both hang up", syscall.SIGHUP, syscall.SIGHUP, time.Second, false},
		{"systemd hangs up after TERM", syscall.SIGTERM, syscall.SIGHUP, time.Minute, false},
		{"Ctrl-C twice", os.Interrupt, os.Interrupt, time.Second, true},
		{"Ctrl-C after a hangup", syscall.SIGHUP, os.Interrupt, time.Second, true},
		{"TERM after Ctrl-C", os.Interrupt, syscall.SIGTERM, time.Second, true},
	} {
		var s stopper
		if first, again := s.take(c.first, begin); first != stops[c.first] || again {
			t.Errorf("%s: the first signal gave %v, %v", c.name, first, again)
		}
		if first, again := s.take(c.second, begin.Add(c.after)); first != nil || again != c.again {
			t.Errorf("%s: the second signal gave %v, %v; want nil, %v", c.name, first, again, c.again)
		}
		if s.first != stops[c.first] {
			t.Errorf("%s: the run ended with %v", c.name, s.first)
		}
	}
}
