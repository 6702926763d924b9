package report_test

import (
	"context"
	"encoding/json"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/weir-go/weir"
	"github.com/weir-go/weir/report"
	"github.com/weir-go/weir/weirtest"
)

// Dashboards read these words out of JSON.
func TestKindAndState_HaveNames(t *testing.T) {
	for kind, want := range map[report.Kind]string{report.KindSource: "source", report.KindStage: "stage", report.KindSink: "sink"} {
		if text, err := kind.MarshalText(); err != nil || string(text) != want || kind.String() != want {
			t.Errorf("%d is %q, %q, %v", int(kind), kind, text, err)
		}
	}
	for state, want := range map[report.State]string{
		report.Busy: "busy", report.Blocked: "blocked", report.Starved: "starved", report.Outside: "outside", report.Unknown: "unknown",
	} {
		if text, err := state.MarshalText(); err != nil || string(text) != want || state.String() != want {
			t.Errorf("%d is %q, %q, %v", int(state), state, text, err)
		}
	}
	text, err := json.Marshal(report.StageStats{Kind: report.KindSink})
	if err != nil || !strings.Contains(string(text), `"Kind":"sink"`) {
		t.Errorf("%s, %v", text, err)
	}
}

func TestStageStats_ShareIsAPartOfTheStagesTime(t *testing.T) {
	s := report.StageStats{Wall: 4 * time.Second, Busy: time.Second, Outside: 5 * time.Second}
	if s.Share(s.Busy) != 0.25 || s.Share(s.Outside) != 1 || (report.StageStats{}).Share(time.Second) != 0 {
		t.Error(s.Share(s.Busy), s.Share(s.Outside))
	}
}

func TestJudge_NamesTheStageThatTheOthersWaitFor(t *testing.T) {
	const wall = 10 * time.Second
	stage := func(name string, kind report.Kind, busy, outside, blocked, starved time.Duration) report.StageStats {
		return report.StageStats{
			Name: name, Kind: kind, Workers: 1, Wall: wall,
			Busy: busy * time.Second, Outside: outside * time.Second, Blocked: blocked * time.Second, Starved: starved * time.Second,
		}
	}
	for want, tc := range map[string]struct {
		stages []report.StageStats
		why    report.State
	}{
		"disk": {[]report.StageStats{stage("disk", report.KindSource, 1, 9, 0, 0), stage("client", report.KindSink, 0, 1, 0, 9)}, report.Outside},
		"gzip": {[]report.StageStats{
			stage("disk", report.KindSource, 0, 1, 9, 0), stage("gzip", report.KindStage, 10, 0, 0, 0), stage("client", report.KindSink, 0, 1, 0, 9),
		}, report.Busy},
		"client": {[]report.StageStats{stage("disk", report.KindSource, 0, 1, 9, 0), stage("client", report.KindSink, 0, 10, 0, 0)}, report.Outside},
	} {
		var v report.Verdict = report.Judge(wall, tc.stages...)
		if v.Stage != want || v.Why != tc.why || v.Share < 0.9 {
			t.Errorf("%s: %+v", want, v)
		}
		if !strings.Contains(v.String(), want) {
			t.Errorf("%s: %q", want, v)
		}
	}
}

func TestWatcher_ShowsTheSpanSinceTheLastLook(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		source := weirtest.Source[int]{Values: []int{1}, Repeat: true, Batch: 1, Delay: time.Second}
		flow := source.Stream().To(weir.Discard[int]())
		ended := make(chan error, 1)
		go func() { ended <- flow.Run(ctx) }()
		synctest.Wait()
		var w *report.Watcher = report.Watch(flow.Report)
		total := int64(0)
		for range 3 {
			time.Sleep(10*time.Second + time.Millisecond)
			r, _ := w.Look()
			n := r.Stages[0].Out
			if n < 9 || n > 11 || r.Wall < 9*time.Second || r.Wall > 11*time.Second {
				t.Errorf("%d values in a span of %v", n, r.Wall)
			}
			total += n
		}
		if all := flow.Report().Stages[0].Out; all < total || all > total+2 {
			t.Errorf("%d in the spans, %d in all", total, all)
		}
		cancel()
		<-ended
	})
}

func TestWatcher_MeasuresUntilAVerdictHasHeld(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		begin := time.Now()
		get := func() report.Report {
			wall := time.Since(begin)
			r := report.Report{Running: true, Wall: wall, Stages: []report.StageStats{
				{Name: "read", Kind: report.KindSource, Workers: 1, Wall: wall, Outside: wall},
				{Name: "write", Kind: report.KindSink, Workers: 1, Wall: wall, Starved: wall, Upstream: []int{0}},
			}}
			return r
		}
		w := report.Watch(get)
		time.Sleep(report.Hold - time.Millisecond)
		if r, _ := w.Look(); !r.Verdict.Measuring || !r.Verdict.None() {
			t.Errorf("after less than %v: %v", report.Hold, r.Verdict)
		}
		time.Sleep(time.Millisecond)
		if r, since := w.Look(); r.Verdict.Stage != "read" || r.Verdict.None() || !since.Equal(begin) {
			t.Errorf("after %v: %v, for %v", report.Hold, r.Verdict, time.Since(since))
		}
	})
}

func TestBlame_AddsUpPhases(t *testing.T) {
	const s = time.Second
	first := []report.StageStats{
		{Name: "read", Kind: report.KindSource, Workers: 1, Wall: 6 * s, Busy: 6 * s},
		{Name: "write", Kind: report.KindSink, Workers: 1, Wall: 6 * s, Starved: 6 * s, Upstream: []int{0}},
	}
	then := []report.StageStats{
		{Name: "read", Kind: report.KindSource, Workers: 1, Wall: 6 * s, Busy: 6 * s},
		{Name: "write", Kind: report.KindSink, Workers: 1, Wall: 10 * s, Starved: 6 * s, Outside: 4 * s, Upstream: []int{0}},
	}
	var b report.Blame
	b.Add(first, 6*s)
	before := b.Clone()
	b.Add(report.Since(then, first), 4*s)
	if v := b.Verdict(then, 10*s); v.Between != [2]report.Part{{Name: "read", Share: 0.6}, {Name: "write", Share: 0.4}} {
		t.Errorf("%v", v)
	}
	if v := before.Verdict(first, 6*s); v.Stage != "read" {
		t.Errorf("a copy of the blame changed: %v", v)
	}
	before.AddBudget(94 * s)
	if v := before.Verdict(first, 100*s); !v.Budget {
		t.Errorf("94 s of waiting for memory: %v", v)
	}
}

func TestJudgeCopy_IsForCopiesByTheKernelOnly(t *testing.T) {
	const s = time.Second
	stages := []report.StageStats{
		{Name: "read", Kind: report.KindSource, Busy: 10 * s, Wall: 10 * s},
		{Name: "write", Kind: report.KindSink, Busy: 10 * s, Wall: 10 * s},
	}
	if v, ok := report.JudgeCopy(stages, 10*s, "splice"); ok {
		t.Errorf("a verdict on stages that copied themselves: %v", v)
	}
	stages[0].Copied, stages[1].Copied = true, true
	if v, ok := report.JudgeCopy(stages, 10*s, "splice"); !ok || !v.Copy {
		t.Errorf("%v, %v", v, ok)
	}
	if _, ok := report.JudgeCopy(stages, 10*s, ""); ok {
		t.Error("a verdict on a copy without a system call")
	}
}
