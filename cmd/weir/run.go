package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"sync"
	"syscall"
	"time"

	"github.com/weir-go/weir"
)

// stop is the cause of a run that the user ended.
type stop struct{ code int }

func (*stop) Error() string { return "stopped by you" }

// execute runs the steps one after the other and returns a *failure or nil.
func (s *settings) execute(verb string, steps ...*step) error {
	if err := s.check(); err != nil {
		return err
	}
	for _, st := range steps {
		if st.refused != nil {
			continue
		}
		if err := st.fit(s.memory, s.limit); err != nil {
			return err
		}
	}
	if s.dryRun || s.verbose && !s.json {
		if err := s.showPlan(steps); err != nil || s.dryRun {
			return err
		}
	}
	ctx, cancel := context.WithCancelCause(context.Background())
	defer cancel(nil)
	v := newView(s, verb, steps)
	for _, st := range steps {
		st.failed = v.failed
	}
	var ready []*step
	for _, st := range steps {
		f := st.refused
		if f == nil {
			f = st.missing()
		}
		switch {
		case f == nil:
			ready = append(ready, st)
		case s.goOn:
			v.ended(st, weir.Report{}, 0, f)
			v.failed(f)
		default:
			v.summary(f)
			return f
		}
	}
	sig := watchSignals(cancel, v.snapshot)
	defer sig.end()
	if len(ready) > 0 {
		v.ceiling()
	}

	var failed *failure
	for _, st := range ready {
		f := v.run(ctx, st)
		if f != nil && (!s.goOn || ctx.Err() != nil) {
			failed, s.goOn = f, false // the summary is of all that was read
			break
		}
		if f != nil {
			v.failed(f)
		}
	}
	if failed == nil {
		failed = v.several()
	}
	v.summary(failed)
	if failed != nil {
		return failed
	}
	return nil
}

// run runs one step.
func (v *view) run(ctx context.Context, st *step) (failed *failure) {
	begin := time.Now()
	var err error
	if st.prepare != nil {
		err = st.prepare(ctx)
	}
	if err == nil {
		finish := v.start(st)
		err = st.run(ctx)
		finish()
	}
	report := st.flow.Report()
	if err != nil {
		failed = explain(st, report, err)
		if by := (*stop)(nil); errors.As(context.Cause(ctx), &by) {
			failed = stopped(st, by)
		}
	}
	v.ended(st, report, time.Since(begin), failed)
	return failed
}

func stopped(st *step, by *stop) *failure {
	f := &failure{code: by.code, text: "stopped by you; nothing was written to " + st.dst}
	if st.isTree && st.merges() {
		f.text = "stopped by you; " + st.state()
		f.try = "the same with --resume"
		return f
	}
	if st.partial != "" && !st.isTree {
		f.text = "stopped by you; what was copied is in " + st.partial
		f.try = "the same with --resume"
	}
	if st.dst == "-" {
		f.text = "stopped by you"
	}
	return f
}

// showPlan is --dry-run: how the steps would run.
func (s *settings) showPlan(steps []*step) error {
	var first *failure
	for _, st := range steps {
		if st.refused != nil {
			if s.dryRun { // without it the run tells
				st.refused.print(s.stderr)
				st.refused.told = true
				first = cmp.Or(first, st.refused)
			}
			continue
		}
		if len(steps) > 1 {
			fmt.Fprintf(s.stderr, "%s → %s\n", st.src, st.dst)
		}
		text, err := st.flow.Explain()
		if err != nil {
			return &failure{code: exitUsage, text: err.Error()}
		}
		fmt.Fprint(s.stderr, text)
		if st.preview != nil && s.dryRun {
			if err := s.showPreview(st); err != nil {
				return err
			}
		}
		if st.holds > 0 {
			fmt.Fprintf(s.stderr, "workers    hold at most %s more\n", weir.FormatBytes(st.holds))
		}
	}
	if first != nil {
		return first
	}
	return nil
}

// showPreview says what the copy of a folder would do.
func (s *settings) showPreview(st *step) error {
	p, err := st.preview()
	if err != nil {
		return explain(st, weir.Report{}, err)
	}
	if s.json {
		names := append([]string{}, p.Delete...)
		s.emit("plan", map[string]any{"source": st.src, "destination": st.dst, "files": p.Files, "bytes": p.Bytes, "equal": p.Equal, "delete": names})
		return nil
	}
	for _, name := range p.Delete {
		fmt.Fprintf(s.stderr, "delete     %s\n", name)
	}
	fmt.Fprintf(s.stderr, "copy       %s, %s", plural(p.Files, "file"), weir.FormatBytes(p.Bytes))
	if p.Equal > 0 {
		fmt.Fprintf(s.stderr, "; %d more are there already", p.Equal)
	}
	fmt.Fprintln(s.stderr)
	return nil
}

// state says how far the copy of a folder came that goes straight to its
// destination.
func (s *step) state() string {
	p, _ := s.tree()
	of := fmt.Sprint(p.FilesFound)
	if !p.Walked {
		of = "at least " + of
	}
	return fmt.Sprintf("%d of %s files are copied to %s, each of them whole; the others are as they were", p.Files, of, s.dst)
}

// signals watches for what the user sends while the run goes on.
type signals struct {
	ch         chan os.Signal
	done, over chan struct{}
	once       sync.Once
}

// watchSignals ends the run at the first INT or TERM, the process at the
// second, and shows where the run is at USR1 (INFO on BSD and macOS).
func watchSignals(cancel context.CancelCauseFunc, snapshot func()) *signals {
	w := &signals{ch: make(chan os.Signal, 4), done: make(chan struct{}), over: make(chan struct{})}
	signal.Notify(w.ch, append([]os.Signal{os.Interrupt, syscall.SIGTERM}, askSignals...)...)
	go func() {
		defer close(w.over)
		var first *stop
		for {
			select {
			case <-w.done:
				return
			case sig := <-w.ch:
				switch {
				case sig != os.Interrupt && sig != syscall.SIGTERM:
					snapshot()
				case first != nil:
					os.Exit(first.code)
				default:
					first = &stop{exitInterrupted}
					if sig == syscall.SIGTERM {
						first.code = exitTerminated
					}
					cancel(first)
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
	})
}
