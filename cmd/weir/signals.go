package main

import (
	"context"
	"os"
	"os/signal"
	"sync"
	"syscall"
	"time"
)

// stop is the cause of a run that a signal ended.
type stop struct {
	code int
	text string
}

func (s *stop) Error() string { return s.text }

// stops are the signals that end a run, and what weir says of each.
var stops = map[os.Signal]*stop{
	os.Interrupt:    {exitInterrupted, "interrupted"},
	syscall.SIGTERM: {exitTerminated, "terminated (SIGTERM)"},
	syscall.SIGHUP:  {exitHungUp, "hung up (SIGHUP)"},
	syscall.SIGQUIT: {exitQuit, "quit (SIGQUIT)"},
}

// stopSignals returns the signals that end a run. A hangup that was ignored when
// weir started, as under nohup, stays ignored.
func stopSignals() (list []os.Signal) {
	for sig := range stops {
		if sig == syscall.SIGHUP && signal.Ignored(sig) {
			continue
		}
		list = append(list, sig)
	}
	return list
}

// echoTime is how long after a signal another one may be its echo. timeout(1)
// sends its signal to the command and then to the whole process group, and a
// terminal sends Ctrl-C to all of a pipeline.
const echoTime = 250 * time.Millisecond

// stopper distinguishes the first signal from a repeated one.
type stopper struct {
	first *stop
	at    time.Time
	again bool // the user has asked a second time
}

// take records a signal that came at now. It returns the stop of a first
// signal, or reports with again that the user asked a second time.
func (s *stopper) take(sig os.Signal, now time.Time) (first *stop, again bool) {
	if s.first == nil {
		s.first, s.at = stops[sig], now
		return s.first, false
	}
	// A closed terminal sends several hangups: the shell's and the kernel's.
	// systemd follows TERM by HUP. None of them means: at once.
	if sig == syscall.SIGHUP || now.Sub(s.at) < echoTime {
		return nil, false
	}
	s.at, s.again = now, true
	return nil, true
}

// keepPipes makes a write to standard output or standard error fail when its
// reader has left. Otherwise SIGPIPE ends the process where it is, and
// temporary files stay behind. Commands that exec starts have the default.
func keepPipes() (end func()) {
	if len(pipeSignals) == 0 {
		return func() {}
	}
	ch := make(chan os.Signal, 1) // nobody reads it: the write's own error is enough
	signal.Notify(ch, pipeSignals...)
	return func() { signal.Stop(ch) }
}

// signals watches for signals during a run.
type signals struct {
	ch         chan os.Signal
	done, over chan struct{}
	once       sync.Once
	pipes      func()
}

// watchSignals ends the run at the first signal that ends runs, the process at
// the second, and shows where the run is at USR1 (INFO on BSD and macOS).
func watchSignals(cancel context.CancelCauseFunc, snapshot func()) *signals {
	w := &signals{ch: make(chan os.Signal, 4), done: make(chan struct{}), over: make(chan struct{}), pipes: keepPipes()}
	signal.Notify(w.ch, append(stopSignals(), askSignals...)...)
	go func() {
		defer close(w.over)
		var s stopper
		for {
			select {
			case <-w.done:
				return
			case sig := <-w.ch:
				if stops[sig] == nil {
					snapshot()
					continue
				}
				switch first, again := s.take(sig, time.Now()); {
				case first != nil:
					cancel(first)
				case again:
					exitNow(s.first.code)
				}
			}
		}
	}()
	return w
}

func (w *signals) end() {
	w.once.Do(func() {
		signal.Stop(w.ch)
		close(w.done)
		<-w.over
		w.pipes()
	})
}
