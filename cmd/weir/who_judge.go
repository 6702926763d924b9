package main

import (
	"cmp"
	"fmt"
	"slices"
	"time"

	"github.com/weir-go/weir/internal/procpipe"
	"github.com/weir-go/weir/report"
)

// account returns the stages of a process of weir with the exact times that it
// has counted itself in about the last window, in the order of its flow, each
// with its Kind and its Upstream. It reports false for any other process.
type account func(pid int, window time.Duration) (stages []report.StageStats, ok bool)

// finding has the observations of a pipeline, and the verdict on it.
type finding struct {
	line   *procpipe.Pipeline
	names  []string              // of the processes, each once
	times  []procpipe.Times      // of the processes
	levels []procpipe.Level      // of the pipes
	exact  [][]report.StageStats // of each process that has counted them itself; nil for others
	window time.Duration

	verdict report.Verdict
	at      int // the process that is the bottleneck, or -1
	waiting int // the process that waits for it most, or -1
}

// maxPaths is how many ways through a pipeline with branches are judged.
const maxPaths = 64

// judge applies the rule of weir's own flows to the observations between two
// looks. A pipeline with branches is judged along each way from a source to a
// sink, and the clearest verdict counts.
func judge(l *procpipe.Pipeline, now, before procpipe.Totals, exact account) *finding {
	f := &finding{line: l, names: titles(l), at: -1, waiting: -1}
	for _, p := range l.Processes {
		t := now.Processes[p.ID()].Sub(before.Processes[p.ID()])
		f.times = append(f.times, t)
		f.window = max(f.window, t.Wall) // a pipeline can be younger than the look before
	}
	for _, p := range l.Pipes {
		f.levels = append(f.levels, now.Pipes[p.Inode].Sub(before.Pipes[p.Inode]))
	}
	if f.window <= 0 {
		f.verdict.Measuring = true
		return f
	}
	for i := range l.Processes {
		f.exact = append(f.exact, f.counted(i, exact))
	}
	for i, path := range l.Paths(maxPaths) {
		v, of := f.judgePath(path, f.exact)
		if f.within(v, of) {
			// The slow part is a whole process, of which no stage stands out.
			if w, ofWhole := f.judgePath(path, nil); w.Stage != "" && f.exact[ofWhole[w.Stage]] != nil {
				v, of = w, ofWhole
			}
		}
		if i == 0 || clearer(v, f.verdict) {
			f.verdict, f.at, f.waiting = v, -1, -1
			if p, ok := of[v.Stage]; ok {
				f.at = p
			}
			if p, ok := of[v.Waiting]; ok {
				f.waiting = p
			}
		}
	}
	return f
}

// counted returns the stages of a process of weir, with times that fill the window
// like the times of the other processes. It returns nil for other processes.
//
// Both ends of the process are pipes of the pipeline. There it waits for other
// processes, not for the outside world.
func (f *finding) counted(place int, exact account) []report.StageStats {
	if exact == nil {
		return nil
	}
	stages, ok := exact(f.line.Processes[place].PID, f.window)
	if !ok {
		return nil
	}
	var span time.Duration // that the account is about
	for _, s := range stages {
		span = max(span, s.Wall/time.Duration(max(1, s.Workers)))
	}
	if span <= 0 {
		return nil
	}
	scale := float64(f.window) / float64(span)
	for i := range stages {
		s := &stages[i]
		for _, d := range []*time.Duration{&s.Wall, &s.Busy, &s.Blocked, &s.Starved, &s.Outside, &s.Unknown, &s.Budget, &s.Hidden} {
			*d = time.Duration(float64(*d) * scale)
		}
	}
	in, out := joints(stages)
	for _, p := range f.line.Pipes {
		if s := &stages[in]; slices.Contains(p.To, place) {
			s.Starved, s.Outside = s.Starved+s.Outside, 0
		}
		if s := &stages[out]; slices.Contains(p.From, place) {
			s.Blocked, s.Outside = s.Blocked+s.Outside, 0
		}
	}
	return stages
}

// within reports whether a verdict names no stage, and does not name two stages of
// different processes either.
func (f *finding) within(v report.Verdict, of map[string]int) bool {
	return v.Stage == "" && !v.Measuring && (v.Between[0].Name == "" || of[v.Between[0].Name] == of[v.Between[1].Name])
}

// judgePath returns the verdict on one way through the pipeline, and which
// process each stage in it belongs to. Processes without exact stages count as one
// stage each, with the times that were sampled.
func (f *finding) judgePath(path []int, exact [][]report.StageStats) (report.Verdict, map[string]int) {
	var stages []report.StageStats
	of := map[string]int{}
	before := -1 // the stage that writes into the pipe before the process
	for n, i := range path {
		var own []report.StageStats
		if exact != nil {
			own = slices.Clone(exact[i])
		}
		if own == nil {
			t := f.times[i]
			own = []report.StageStats{{
				Wall: t.Wall, Busy: t.Busy, Blocked: t.Blocked, Starved: t.Starved, Outside: t.Outside, Unknown: t.Unknown,
				Workers: 1, Unit: "bytes", OutUnit: "bytes",
			}}
		}
		in, out := joints(own)
		begin := len(stages)
		for k, s := range own {
			if s.Name == "" {
				s.Name = f.names[i]
			} else {
				s.Name = fmt.Sprintf("%s (%s)", s.Name, f.names[i])
			}
			ups := s.Upstream
			s.Upstream = nil
			for _, u := range ups {
				s.Upstream = append(s.Upstream, begin+u)
			}
			s.Kind = report.KindStage
			if n > 0 && k == in {
				s.Upstream = append(s.Upstream, before)
			}
			stages = append(stages, s)
			of[s.Name] = i
		}
		before = begin + out
	}
	stages[0].Kind = report.KindSource
	stages[len(stages)-1].Kind = report.KindSink
	var b report.Blame
	b.Add(stages, f.window)
	return b.Verdict(stages, f.window), of
}

// joints returns the stages of a process that read from the pipe before it and
// write to the one behind it: standard input and output, if they are there.
func joints(stages []report.StageStats) (in, out int) {
	out = len(stages) - 1
	named := false
	for i, s := range stages {
		if s.Kind == report.KindSource && s.Name == "stdin" {
			in = i
		}
		if s.Kind == report.KindSink && !named {
			out, named = i, s.Name == "stdout"
		}
	}
	return in, out
}

// clearer reports whether a verdict says more than another one.
func clearer(v, than report.Verdict) bool {
	rank := func(v report.Verdict) int {
		switch {
		case v.Stage != "":
			return 2
		case v.Between[0].Name != "":
			return 1
		}
		return 0
	}
	return cmp.Or(cmp.Compare(rank(v), rank(than)), cmp.Compare(v.WaitingShare, than.WaitingShare), cmp.Compare(v.Share, than.Share)) > 0
}

// last names the window: the last 5 s.
func (f *finding) last() string {
	d := f.window.Round(100 * time.Millisecond)
	if f.window >= 3*time.Second {
		d = f.window.Round(time.Second)
	}
	return fmt.Sprintf("the last %g s", d.Seconds())
}

// sentence is the verdict in words.
func (f *finding) sentence() string {
	s := f.found()
	for _, t := range f.times {
		if !t.Ended {
			return s
		}
	}
	return "the pipeline has ended; " + s
}

func (f *finding) found() string {
	v := f.verdict
	switch {
	case v.Measuring:
		return "measuring"
	case v.Stage != "":
		s := fmt.Sprintf("%s is the bottleneck: %s %.0f%% of %s", v.Stage, v.Does(), 100*v.Share, f.last())
		if v.Why == report.Outside {
			s += " (it waits for a disk, the network, a timer or the like)"
		}
		if v.Waiting != "" {
			s += fmt.Sprintf("; %s waits for it %.0f%%", v.Waiting, 100*v.WaitingShare)
		}
		return s
	case v.Between[0].Name != "":
		p, q, how := v.Between[0], v.Between[1], "take turns"
		if p.Share+q.Share > 1.2 { // they work at the same time
			how = "are equally slow"
		}
		return fmt.Sprintf("no single bottleneck: %s (%.0f%% of %s) and %s (%.0f%%) %s", p.Name, 100*p.Share, f.last(), q.Name, 100*q.Share, how)
	}
	sources, sinks := f.ends()
	for _, i := range sinks {
		if share := f.share(i, f.times[i].Blocked); share >= 0.7 {
			return fmt.Sprintf("the reader of %s is the bottleneck, but is not part of this pipeline: %s waits for it %.0f%% of %s", f.names[i], f.names[i], 100*share, f.last())
		}
	}
	for _, i := range sources {
		if share := f.share(i, f.times[i].Starved); share >= 0.7 {
			return fmt.Sprintf("the input of %s is the bottleneck, but is not part of this pipeline: %s waits for it %.0f%% of %s", f.names[i], f.names[i], 100*share, f.last())
		}
	}
	for i, t := range f.times {
		if share := f.share(i, t.Unknown); share >= 0.5 {
			return fmt.Sprintf("unknown bottleneck: weir cannot see what %s does (%.0f%% of %s)", f.names[i], 100*share, f.last())
		}
	}
	return fmt.Sprintf("no single bottleneck: no process governed the pipeline for most of %s", f.last())
}

// ends lists the processes without input and those without output, as far as
// pipes between processes go.
func (f *finding) ends() (sources, sinks []int) {
	fed, feeds := make([]bool, len(f.times)), make([]bool, len(f.times))
	for _, p := range f.line.Pipes {
		for _, i := range p.From {
			feeds[i] = true
		}
		for _, i := range p.To {
			fed[i] = true
		}
	}
	for i := range f.times {
		if !fed[i] {
			sources = append(sources, i)
		}
		if !feeds[i] {
			sinks = append(sinks, i)
		}
	}
	return sources, sinks
}

// share is the part of the time of a process that d is.
func (f *finding) share(i int, d time.Duration) float64 {
	if f.times[i].Wall <= 0 {
		return 0
	}
	return min(1, float64(d)/float64(f.times[i].Wall))
}

// steady keeps a verdict on the screen until another one has held for two
// seconds: at a change, averages name the wrong process for a moment.
type steady struct {
	shown, next string // the verdicts in words, without numbers
	since, come time.Time
	text        string
	verdict     report.Verdict // that is shown
}

const steadyHold = 2 * time.Second

// hold returns the text to show of a finding, and for how long that has held. That
// is negative until a verdict has held.
func (s *steady) hold(f *finding, now time.Time) (text string, since time.Duration) {
	v := f.verdict
	says := fmt.Sprint(v.Measuring, v.Stage, "\x00", v.Between[0].Name, "\x00", v.Between[1].Name)
	if says != s.next {
		s.next, s.come = says, now
	}
	hold := steadyHold
	if v.None() { // the window may just be half of one process and half of another
		hold = max(hold, f.window)
	}
	if s.next != s.shown && now.Sub(s.come) >= hold {
		s.shown, s.since = s.next, s.come
	}
	switch {
	case s.shown == "":
		s.verdict = report.Verdict{Measuring: true}
		return "measuring", -1
	case s.next == s.shown:
		s.text, s.verdict = f.sentence(), v
	}
	return s.text, now.Sub(s.since)
}

// sentence is a finding in one line.
func (s *steady) sentence(f *finding, now time.Time) string { return heldFor(s.hold(f, now)) }

// heldFor says for how long a sentence has held, unless that is negative.
func heldFor(text string, since time.Duration) string {
	if since < 0 {
		return text
	}
	return fmt.Sprintf("since %d s: %s", int(since.Seconds()), text)
}

// steadies are the answers about pipelines that a live view shows, by the first
// process of each.
type steadies map[procpipe.ID]*steady

// of returns the answer about a pipeline.
func (s steadies) of(l *procpipe.Pipeline) *steady {
	id := l.Processes[0].ID()
	if s[id] == nil {
		s[id] = &steady{}
	}
	return s[id]
}

// lookback holds the samples of about the last window, the oldest first.
type lookback []procpipe.Totals

// add adds the newest samples.
func (s *lookback) add(now procpipe.Totals, window time.Duration) {
	for len(*s) > 1 && now.At.Sub((*s)[1].At) >= window {
		*s = (*s)[1:]
	}
	*s = append(*s, now)
}

// before returns the samples that the last window begins with. They are zero while
// less than a window has passed since began.
func (s lookback) before(began time.Time, window time.Duration) procpipe.Totals {
	if len(s) > 1 && s[len(s)-1].At.Sub(began) > window {
		return s[0]
	}
	return procpipe.Totals{}
}
