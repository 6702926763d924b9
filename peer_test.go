package weir_test

import (
	"context"
	"io"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/weir-go/weir"
	"github.com/weir-go/weir/report"
)

// peerEnd is a reader or writer that says what it waits for.
type peerEnd struct {
	pacedReader
	pacedWriter
	name func() string
}

func (e *peerEnd) Peer() string { return e.name() }

func (e *peerEnd) source() weir.Stream[byte] {
	return weir.From(weir.Source[byte]{Name: "in", Open: func(context.Context) (weir.Reader[byte], error) { return e, nil }})
}

func (e *peerEnd) sink() weir.Sink[byte] {
	return weir.Sink[byte]{Name: "out", Open: func(context.Context) (weir.Writer[byte], error) { return e, nil }}
}

func TestFlow_NamesWhatItsSlowEndWaitsFor(t *testing.T) {
	logs := func() string { return "the other side of logs" }
	for _, c := range []struct {
		name string
		flow *weir.Flow
		want string
	}{
		{"source", (&peerEnd{pacedReader{8 << 20, ms}, pacedWriter{}, logs}).source().To(weir.Discard[byte]()), "the other side of logs is the bottleneck: reading (in)"},
		{"sink", weir.FromReader(&pacedReader{8 << 20, 0}).To((&peerEnd{pacedReader{}, pacedWriter{ms}, logs}).sink()), "the other side of logs is the bottleneck: writing (out)"},
		{"sink that names nothing", weir.FromReader(&pacedReader{8 << 20, 0}).To((&peerEnd{pacedReader{}, pacedWriter{ms}, func() string { return "" }}).sink()), "the destination is the bottleneck: writing (out)"},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				watch := report.Watch(c.flow.Report)
				done := make(chan error, 1)
				go func() { done <- c.flow.Run(t.Context()) }()
				var shown string
				for range 20 { // 5 of the 8 s that it takes
					time.Sleep(250 * ms)
					r, _ := watch.Look()
					shown = r.Verdict.String()
				}
				if err := <-done; err != nil {
					t.Fatal(err)
				}
				if got := c.flow.Report().Verdict.String(); !strings.HasPrefix(got, c.want) {
					t.Errorf("the verdict is %q, want %q…", got, c.want)
				}
				if !strings.HasPrefix(shown, c.want) {
					t.Errorf("the verdict while it ran was %q, want %q…", shown, c.want)
				}
			})
		})
	}
}

// A report of a run that has ended asks nobody: its reader and writer are closed.
func TestFlow_AsksNoPeerAfterItsEnd(t *testing.T) {
	asked := 0
	name := func() string { asked++; return "the store" }
	flow := (&peerEnd{pacedReader{1 << 10, 0}, pacedWriter{}, name}).source().To(weir.ToWriter(io.Discard))
	if err := flow.Run(t.Context()); err != nil {
		t.Fatal(err)
	}
	was := asked
	if got := flow.Report().Stages[0].Peer; got != "the store" || asked != was {
		t.Errorf("peer %q, asked %d times more", got, asked-was)
	}
}

// Peer is the user's code: it may look at the flow that asks it.
func TestFlow_LetsAPeerReadTheReport(t *testing.T) {
	var flow *weir.Flow
	inside := false
	end := &peerEnd{pacedReader{1 << 10, 0}, pacedWriter{}, func() string {
		if !inside {
			inside = true
			defer func() { inside = false }()
			flow.Report()
		}
		return "the store"
	}}
	flow = end.source().To(weir.ToWriter(io.Discard))
	if err := flow.Run(t.Context()); err != nil {
		t.Fatal(err)
	}
	if got := flow.Report().Stages[0].Peer; got != "the store" {
		t.Errorf("peer %q", got)
	}
}

// edgeEnd is a peerEnd with an edge behind it.
type edgeEnd struct{ peerEnd }

func (e *edgeEnd) Edge() report.Edge { return report.Edge{Name: "logs", Held: 7, Max: 100} }

func TestFlow_ReportsTheEdgeBehindItsEnds(t *testing.T) {
	end := &edgeEnd{peerEnd{pacedReader{1 << 10, 0}, pacedWriter{}, func() string { return "" }}}
	flow := weir.FromReader(end).To(weir.ToWriter(end))
	if err := flow.Run(t.Context()); err != nil {
		t.Fatal(err)
	}
	for _, s := range flow.Report().Stages {
		if s.Edge != (report.Edge{Name: "logs", Held: 7, Max: 100}) {
			t.Errorf("%s: edge %+v", s.Name, s.Edge)
		}
	}
}
