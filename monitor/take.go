package monitor

import (
	"time"

	"github.com/weir-go/weir/report"
)

// This file is where reports of package weir become the data of this package.

// maxParts is how many stages and pipes of a flow a snapshot shows.
const maxParts = 64

// rateLeast is the shortest span that says anything about a rate.
const rateLeast = 50 * time.Millisecond

// look is a report and when it was made.
type look struct {
	at time.Time
	r  report.Report
}

// flowOf describes a run. now is its latest report, was one of about a second
// before or, for shares of the whole run, the zero look.
func flowOf(r *run, now, was look) Flow {
	rep := now.r
	f := Flow{
		ID: r.id, Name: flowName(rep), Running: rep.Running, Start: unix(r.start), Wall: seconds(rep.Wall),
		Used: rep.Held, Peak: rep.Peak, Ceiling: rep.Ceiling, Holders: rep.Holders, Largest: rep.Largest, Kernel: rep.Kernel, Stuck: rep.Stuck,
		Stages: map[string]Stage{}, Pipes: map[string]Pipe{},
		Hidden: max(0, len(rep.Stages)-maxParts) + max(0, len(rep.Pipes)-maxParts),
	}
	if rep.Err != nil {
		f.Err = rep.Err.Error()
	}
	span := rep.Wall - was.r.Wall
	for i, s := range rep.Stages {
		var before report.StageStats
		if i < len(was.r.Stages) {
			before = was.r.Stages[i]
		}
		st := stageOf(s, before, span)
		st.Ups = s.Upstream
		if i < len(r.progress) {
			st.Progress = unix(r.progress[i])
		}
		switch s.Kind {
		case report.KindSource:
			f.In += st.OutRate
		case report.KindSink:
			f.Out += st.InRate
		}
		if i < maxParts {
			f.Stages[decimal(i)] = st
		}
	}
	f.In, f.Out = threeDigits(f.In), threeDigits(f.Out)
	for i, p := range rep.Pipes[:min(len(rep.Pipes), maxParts)] {
		f.Pipes[decimal(i)] = pipeOf(p)
	}
	return f
}

// flowName returns the name of a flow. A flow without a name, such as one of
// weir.Count, is named by its source and its sink.
func flowName(r report.Report) string {
	if n := len(r.Stages); r.Flow == "" && n > 0 {
		return r.Stages[0].Name + " → " + r.Stages[n-1].Name
	}
	return r.Flow
}

func stageOf(s, was report.StageStats, span time.Duration) Stage {
	st := Stage{
		Name: s.Name, Kind: s.Kind.String(), Workers: s.Workers, Unit: s.Unit, OutUnit: s.OutUnit,
		In: s.In, Out: s.Out, Dropped: s.Dropped, BlockedN: s.BlockedN, Limits: s.Limits,
	}
	if s.Edge.Name != "" {
		e := Edge(s.Edge)
		st.Edge = &e
	}
	if span >= rateLeast {
		st.InRate = threeDigits(float64(s.In-was.In) / span.Seconds())
		st.OutRate = threeDigits(float64(s.Out-was.Out) / span.Seconds())
	}
	now, before := states(s), states(was)
	wall := max(s.Wall-was.Wall, span)
	for i := range now {
		st.Seconds[i] = seconds(now[i])
		if wall > 0 {
			st.Shares[i] = hundredth(min(1, float64(now[i]-before[i])/float64(wall)))
		}
	}
	return st
}

// stateNames are the states in the order of Stage.Shares.
var stateNames = [5]string{"busy", "blocked", "starved", "outside", "unknown"}

func states(s report.StageStats) [5]time.Duration {
	return [5]time.Duration{s.Busy, s.Blocked, s.Starved, s.Outside, s.Unknown}
}

func pipeOf(p report.PipeStats) Pipe {
	q := Pipe{
		Name: p.Name, Used: p.Bytes, Limit: p.LimitBytes, Items: p.Items, Most: p.LimitItems, Peak: p.Peak,
		BlockedN: p.BlockedN, Blocked: seconds(p.Blocked), Writers: p.WaitingSend, Dropped: p.Dropped,
	}
	if q.Limit > 0 {
		q.Fill = min(1, float64(q.Used)/float64(q.Limit))
	}
	if q.Most > 0 {
		q.Fill = max(q.Fill, min(1, float64(q.Items)/float64(q.Most)))
	}
	q.Fill = hundredth(q.Fill)
	return q
}

// verdictOf returns the verdict in parts.
func verdictOf(r report.Report) Verdict {
	v := r.Verdict
	out := Verdict{
		Bottleneck: bottleneck(v), Stage: -1, Share: hundredth(v.Share),
		Waiting: v.Waiting, WaitingShare: hundredth(v.WaitingShare), Limit: v.Limit, Peer: v.Peer,
	}
	for i, s := range r.Stages {
		if v.Stage != "" && s.Name == v.Stage {
			out.Stage = i
		}
	}
	return out
}

// bottleneck returns the name of the bottleneck in a verdict. Two verdicts with the
// same name differ in numbers only.
func bottleneck(v report.Verdict) string {
	switch {
	case v.Measuring:
		return "measuring"
	case v.Stage != "":
		return v.Stage
	case v.Budget:
		return "the memory budget"
	case v.Copy:
		return "the copy itself"
	case v.Why == report.Unknown:
		return "unknown"
	}
	return "none"
}

// heldBack is the share of its time for which a stage must be blocked for its
// flow to be pushing back, as for a verdict.
const heldBack = 0.1

// stateOf says in a word how a flow does that has not stalled.
func stateOf(r report.Report, f Flow) State {
	if !r.Running {
		return Succeeded
	}
	if r.Verdict.Measuring {
		return Measuring
	}
	if r.Verdict.WaitingShare > heldBack || r.Verdict.Budget {
		return PushingBack
	}
	for _, s := range f.Stages {
		if s.Shares[1] > heldBack {
			return PushingBack
		}
	}
	return KeepingUp
}

// moved reports whether stage i has moved a value between two reports.
func moved(now, was report.Report, i int) bool {
	return i >= len(was.Stages) || now.Stages[i].In != was.Stages[i].In || now.Stages[i].Out != was.Stages[i].Out
}

// transferFlow describes a transfer as if it were a flow: it has the stages of one.
func transferFlow(id uint64, rep report.Report, now time.Time) Flow {
	r := &run{id: id, start: now.Add(-rep.Wall)}
	f := flowOf(r, look{r: rep}, look{})
	f.Sentence, f.Verdict = rep.Verdict.String(), verdictOf(rep)
	f.State = stateOf(rep, f)
	return f
}
