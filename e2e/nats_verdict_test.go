package e2e

import (
	"context"
	"strings"
	"testing"
	"time"

	"github.com/weir-go/weir"
	"github.com/weir-go/weir/durable"
	"github.com/weir-go/weir/report"
)

// shownVerdict runs a flow until the verdict on it begins with want, and returns the
// last report.
func shownVerdict(t *testing.T, flow *weir.Flow, want string) report.Report {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- flow.Run(ctx) }()
	defer func() {
		cancel()
		<-ended
	}()
	w := report.Watch(flow.Report)
	var r report.Report
	var last string
	for deadline := time.Now().Add(2 * time.Minute); !strings.HasPrefix(last, want); time.Sleep(100 * time.Millisecond) {
		r, _ = w.Look()
		last = r.Verdict.String()
		select {
		case err := <-ended:
			t.Fatalf("the flow ended with %v", err)
		default:
		}
		if time.Now().After(deadline) {
			t.Fatalf("the verdict is %q, want %q", last, want)
		}
	}
	return r
}

func TestVerdict_NamesTheOtherSideOfAnEdge(t *testing.T) {
	s := natsServer(t, nil)
	full, empty := edge(t, edgeOn(s, "full")+"?max=64MiB"), edge(t, edgeOn(s, "empty"))
	src, err := durable.From(noiseFile(t, 100<<20), httpOptions)
	if err != nil {
		t.Fatal(err)
	}
	r := shownVerdict(t, durable.Flow(src, full.Sink(), durable.Options{}), "the other side of full is the bottleneck: writing (full)")
	if e := r.Stages[len(r.Stages)-1].Edge; e.Name != "full" || e.Held == 0 || e.Held > 64<<20 || e.Max != 64<<20 || e.Lag == 0 || e.Refused == 0 {
		t.Errorf("the sink shows %+v", e)
	}
	sink := empty.Sink()
	if _, err := sink.Open(t.Context()); err != nil {
		t.Fatal(err)
	}
	defer sink.Close()
	to := durable.File(t.TempDir()+"/out", 0o666)
	r = shownVerdict(t, durable.Flow(empty.Source(), to, durable.Options{}), "the other side of empty is the bottleneck: reading (empty)")
	if e := r.Stages[0].Edge; e.Name != "empty" || e.Lag != 0 {
		t.Errorf("the source shows %+v", e)
	}
}
