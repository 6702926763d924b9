package weir_test

import (
	"context"
	"encoding/json"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/weir-go/weir"
	"github.com/weir-go/weir/weirtest"
)

// Dashboards read these words out of JSON.
func TestKindsStatesAndPolicies_HaveNames(t *testing.T) {
	for kind, want := range map[weir.Kind]string{weir.KindSource: "source", weir.KindStage: "stage", weir.KindSink: "sink"} {
		if text, err := kind.MarshalText(); err != nil || string(text) != want || kind.String() != want {
			t.Errorf("%d is %q, %q, %v", int(kind), kind, text, err)
		}
	}
	for state, want := range map[weir.State]string{
		weir.Busy: "busy", weir.Blocked: "blocked", weir.Starved: "starved", weir.Outside: "outside",
	} {
		if text, err := state.MarshalText(); err != nil || string(text) != want || state.String() != want {
			t.Errorf("%d is %q, %q, %v", int(state), state, text, err)
		}
	}
	for policy, want := range map[weir.Policy]string{
		weir.Block: "block", weir.DropOldest: "drop oldest", weir.DropNewest: "drop newest", weir.Disconnect: "disconnect",
	} {
		if policy.String() != want {
			t.Errorf("%d is %q, want %q", int(policy), policy, want)
		}
	}
	text, err := json.Marshal(weir.StageStats{Kind: weir.KindSink})
	if err != nil || !strings.Contains(string(text), `"Kind":"sink"`) {
		t.Errorf("%s, %v", text, err)
	}
}

func TestStageStats_ShareIsAPartOfTheStagesTime(t *testing.T) {
	s := weir.StageStats{Wall: 4 * time.Second, Busy: time.Second, Outside: 5 * time.Second}
	if s.Share(s.Busy) != 0.25 || s.Share(s.Outside) != 1 || (weir.StageStats{}).Share(time.Second) != 0 {
		t.Error(s.Share(s.Busy), s.Share(s.Outside))
	}
}

func TestJudge_NamesTheStageThatTheOthersWaitFor(t *testing.T) {
	const wall = 10 * time.Second
	stage := func(name string, kind weir.Kind, busy, outside, blocked, starved time.Duration) weir.StageStats {
		return weir.StageStats{
			Name: name, Kind: kind, Workers: 1, Wall: wall,
			Busy: busy * time.Second, Outside: outside * time.Second, Blocked: blocked * time.Second, Starved: starved * time.Second,
		}
	}
	for want, tc := range map[string]struct {
		stages []weir.StageStats
		why    weir.State
	}{
		"disk": {[]weir.StageStats{stage("disk", weir.KindSource, 1, 9, 0, 0), stage("client", weir.KindSink, 0, 1, 0, 9)}, weir.Outside},
		"gzip": {[]weir.StageStats{
			stage("disk", weir.KindSource, 0, 1, 9, 0), stage("gzip", weir.KindStage, 10, 0, 0, 0), stage("client", weir.KindSink, 0, 1, 0, 9),
		}, weir.Busy},
		"client": {[]weir.StageStats{stage("disk", weir.KindSource, 0, 1, 9, 0), stage("client", weir.KindSink, 0, 10, 0, 0)}, weir.Outside},
	} {
		var v weir.Verdict = weir.Judge(wall, tc.stages...)
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
		var w *weir.Watcher = flow.Watch()
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
		if all := flow.Stats().Stages[0].Out; all < total || all > total+2 {
			t.Errorf("%d in the spans, %d in all", total, all)
		}
		cancel()
		<-ended
	})
}
