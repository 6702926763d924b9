package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/weir-go/weir"
	"github.com/weir-go/weir/internal/units"
	"github.com/weir-go/weir/report"
	"github.com/weir-go/weir/tree"
)

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
	var page *livePage
	if !s.dryRun {
		var err error
		if page, err = s.openPage(steps); err != nil {
			return err
		}
		defer page.close()
	}
	if s.dryRun || s.verbose && !s.json {
		if err := s.showPlan(steps); err != nil {
			return err
		}
		if s.dryRun {
			return warned(steps)
		}
	}
	collectOften(steps)
	ctx, cancel := context.WithCancelCause(context.Background())
	defer cancel(nil)
	v := newView(s, verb, steps)
	v.page = page
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
			v.ended(st, report.Report{}, 0, f)
			v.failed(f)
		default:
			v.ended(st, report.Report{}, 0, f)
			v.summary(f)
			return f
		}
	}
	sig := watchSignals(cancel, v.snapshot)
	defer sig.end()
	defer s.topOf(steps, page).close() // signals are caught by now, so none leaves it behind
	if len(ready) > 0 {
		v.ceiling()
	}

	var failed *failure
	for _, st := range ready {
		f := v.run(ctx, st)
		if f != nil && (!s.goOn || ctx.Err() != nil) {
			failed, s.goOn = f, false // the summary covers all bytes that were read
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
	return warned(steps)
}

// warned returns the failure of a run that succeeded with warnings, or nil.
func warned(steps []*step) error {
	for _, st := range steps {
		if st.warned {
			return &failure{code: exitUsage, told: true}
		}
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
	if err == nil {
		failed = st.incomplete()
	} else {
		failed = explain(st, report, err)
		if by := (*stop)(nil); errors.As(context.Cause(ctx), &by) {
			failed = stopped(st, by)
		}
	}
	v.ended(st, st.named(report), time.Since(begin), failed)
	return failed
}

func stopped(st *step, by *stop) *failure {
	f := &failure{code: by.code, text: by.text + "; nothing was written to " + st.dst}
	if st.isTree && st.merges() {
		f.text = by.text + "; " + st.state()
		f.try = "run the same command with --resume"
		return f
	}
	if v := st.survives; v != nil {
		f.text = by.text + "; what was written is kept, to be continued"
		f.try = v.command()
		return f
	}
	if st.partial != "" && !st.isTree {
		f.text = by.text + "; what was copied is in " + st.partial
		f.try = "run the same command with --resume"
	}
	if st.dst == "-" || st.discards {
		f.text = by.text
	}
	return f
}

// showPlan implements --dry-run: it prints how the steps would run.
func (s *settings) showPlan(steps []*step) error {
	var first *failure
	plan := "" // of the steps whose names have been printed
	defer func() { fmt.Fprint(s.stderr, plan) }()
	for _, st := range steps {
		f := st.refused
		if f == nil && s.dryRun {
			f = cmp.Or(st.missing(), st.unplaced())
		}
		if f != nil {
			if s.dryRun { // without it, the run prints the failure
				f.tell(s.stderr, s.json)
				f.told = true
				first = cmp.Or(first, f)
			}
			continue
		}
		text, err := st.flow.Explain()
		if err != nil {
			return &failure{code: exitUsage, text: err.Error()}
		}
		if st.preview != nil && s.dryRun {
			if s.verbose && !s.json {
				fmt.Fprint(s.stderr, text)
			}
			if err := s.showPreview(st); err != nil {
				return err
			}
			continue
		}
		if st.survives != nil {
			text += st.survives.plan()
		}
		if st.holds > 0 {
			text += fmt.Sprintf("workers    hold at most %s more\n", weir.FormatBytes(st.holds))
		}
		if s.json {
			ceiling, _ := st.ceiling()
			emitLine(s.stderr, "plan", map[string]any{"source": st.src, "destination": st.destination(), "ceiling": ceiling, "text": text})
			continue
		}
		if text != plan { // a plan that a thousand files share is printed once
			fmt.Fprint(s.stderr, plan)
			plan = text
		}
		if len(steps) > 1 {
			fmt.Fprintf(s.stderr, "%s → %s\n", st.src, st.dst)
		}
	}
	if first != nil {
		return first
	}
	return nil
}

// showPreview prints a preview of the copy of a folder.
func (s *settings) showPreview(st *step) error {
	st.failed = func(f *failure) { f.tell(s.stderr, s.json) }
	var incomplete error
	p, err := st.preview()
	if ie := (*tree.IncompleteError)(nil); errors.As(err, &ie) {
		first := explain(st, report.Report{}, ie.First)
		incomplete = &failure{code: first.code, text: fmt.Sprintf("%s would be incomplete: %s", st.dst, units.Count(ie.Failed, "failure"))}
	} else if err != nil {
		return explain(st, report.Report{}, err)
	}
	if s.json {
		names := append([]string{}, p.Delete...)
		s.emit("plan", map[string]any{"source": st.src, "destination": st.dst, "files": p.Files, "bytes": p.Bytes, "equal": p.Equal, "delete": names})
		return incomplete
	}
	for _, name := range p.Delete {
		fmt.Fprintf(s.stderr, "delete     %s\n", name)
	}
	fmt.Fprintf(s.stderr, "copy       %s, %s", units.Count(p.Files, "file"), weir.FormatBytes(p.Bytes))
	switch p.Equal {
	case 0:
	case 1:
		fmt.Fprint(s.stderr, "; 1 is there already")
	default:
		fmt.Fprintf(s.stderr, "; %d are there already", p.Equal)
	}
	ceiling, err := st.ceiling()
	fmt.Fprintf(s.stderr, "\nmemory     ceiling %s\n", weir.FormatBytes(ceiling))
	return cmp.Or(incomplete, err)
}

// state describes how far the copy of a folder came, if it writes directly to
// its destination.
func (s *step) state() string {
	p, _ := s.tree()
	switch {
	case p.Files == 0:
		return fmt.Sprintf("no file was copied to %s; existing files are unchanged", s.dst)
	case p.Walked && p.Files == p.FilesFound:
		return fmt.Sprintf("all %s are complete in %s", units.Count(p.Files, "file"), s.dst)
	}
	least, are := "", "are"
	if !p.Walked {
		least = "at least "
	}
	if p.Files == 1 {
		are = "is"
	}
	return fmt.Sprintf("%d of %s%s %s complete in %s; the others are unchanged", p.Files, least, units.Count(p.FilesFound, "file"), are, s.dst)
}
