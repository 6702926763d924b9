package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"sync/atomic"
	"syscall"
	"time"

	"golang.org/x/term"

	"github.com/weir-go/weir"
)

// job is one run of copy or pipe.
type job struct {
	src, dst string
	stages   []string
	verb     string // "copied"

	memory   string
	progress string
	quiet    bool
	json     bool
	explain  bool
	force    bool

	stderr io.Writer
	size   int64 // of the source; 0: not known
	sums   []string
	frugal bool // one worker for each codec, to fit into the memory
	flow   *weir.Flow
	limit  int64 // --memory in bytes; 0: none
}

func (j *job) warn(format string, args ...any) {
	fmt.Fprintf(j.stderr, "weir: "+format+"\n", args...)
}

// run does the job and returns a *failure or nil.
func (j *job) run() error {
	if err := j.check(); err != nil {
		return err
	}
	if err := j.build(); err != nil {
		return err
	}
	if err := j.fit(); err != nil {
		return err
	}
	if j.explain {
		text, err := j.flow.Explain()
		if err != nil {
			return &failure{code: exitUsage, text: err.Error()}
		}
		fmt.Fprint(j.stderr, text)
		return nil
	}
	show := newDisplay(j)
	show.ceiling()

	ctx, cancel := context.WithCancelCause(context.Background())
	var stopped atomic.Pointer[stop]
	signals := make(chan os.Signal, 2)
	signal.Notify(signals, os.Interrupt, syscall.SIGTERM)
	done := make(chan struct{})
	watched := make(chan struct{})
	go func() {
		defer close(watched)
		for {
			select {
			case s := <-signals:
				if stopped.Load() != nil {
					os.Exit(stopped.Load().code)
				}
				st := &stop{exitInterrupted}
				if s == syscall.SIGTERM {
					st.code = exitTerminated
				}
				stopped.Store(st)
				cancel(st)
			case <-done:
				return
			}
		}
	}()
	finish := show.start()
	begin := time.Now()
	err := j.flow.Run(ctx)
	took := time.Since(begin)
	finish()
	signal.Stop(signals)
	close(done)
	<-watched
	cancel(nil)

	report := j.flow.Report()
	var f *failure
	if err != nil {
		f = explain(j, report, err)
		if st := stopped.Load(); st != nil && errors.Is(err, st) {
			f = &failure{code: st.code, text: "stopped by you; nothing was written to " + j.dst}
		}
	}
	show.summary(report, took, f)
	if f != nil {
		return f
	}
	return nil
}

// stop is the cause of a flow that the user ended.
type stop struct{ code int }

func (*stop) Error() string { return "stopped by you" }

// check finds what is wrong before anything opens.
func (j *job) check() error {
	switch j.progress {
	case "auto", "live", "plain", "none":
	default:
		return usage(fmt.Sprintf("--progress %s: use auto, live, plain or none", j.progress))
	}
	if j.memory != "" {
		n, err := parseSize(j.memory)
		if err != nil {
			f := usage(fmt.Sprintf("--memory %s is no size", j.memory))
			f.try = "--memory 64MiB"
			return f
		}
		j.limit = n
	}
	return refuse(j)
}

// build makes the flow of the words.
func (j *job) build() error {
	s := weir.Stdin()
	if j.src != "-" {
		s = weir.File(j.src)
	}
	binary := false
	j.sums = nil
	for _, word := range j.stages {
		st, kind, err := parseStage(j, word)
		if err != nil {
			return err
		}
		s = s.Through(st)
		binary = kind.binary
	}
	k := weir.Stdout()
	if j.dst != "-" {
		k = weir.Create(j.dst)
	} else if binary && !j.force && term.IsTerminal(int(os.Stdout.Fd())) {
		return &failure{code: exitUsage, text: "refusing to write binary data to the terminal", try: "redirect it to a file, or use --force"}
	}
	j.flow = s.To(k)
	j.flow.Name = j.verb
	return nil
}

// fit chooses the limits of the pipes so that the ceiling is at most --memory.
func (j *job) fit() error {
	if _, err := j.flow.Ceiling(); err != nil {
		return &failure{code: exitUsage, text: err.Error()}
	}
	if j.limit == 0 {
		return nil
	}
	const least, most = 4 << 10, 1 << 20
	for {
		for n := int64(most); n >= least; n /= 2 {
			j.flow.Limit = weir.Bytes(n)
			if c, _ := j.flow.Ceiling(); c <= j.limit {
				return nil
			}
		}
		need, _ := j.flow.Ceiling()
		if j.frugal {
			return &failure{
				code: exitMemory,
				text: fmt.Sprintf("--memory %s is %s, and these stages need at least %s", j.memory, weir.FormatBytes(j.limit), weir.FormatBytes(need)),
				try:  fmt.Sprintf("--memory %dKiB", (need+1023)/1024),
			}
		}
		j.frugal = true
		if err := j.build(); err != nil {
			return err
		}
	}
}
