package monitor

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/weir-go/weir"
	"github.com/weir-go/weir/report"
)

func TestMonitor_SaysWhichStageIsSlow(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var m Monitor
		defer m.Close()
		defer m.WatchAll()()
		stop := start(t, paced("copy", 1<<30, 0, time.Millisecond))
		time.Sleep(time.Second)
		if f := only(t, m.Snapshot().Flows); f.State != Measuring || f.Verdict.Bottleneck != "measuring" || f.Since != 0 {
			t.Errorf("after 1 s: %q, %+v", f.State, f.Verdict)
		}
		time.Sleep(2 * time.Second)
		s := m.Snapshot()
		f := only(t, s.Flows)
		if f.State != PushingBack || s.State != PushingBack || f.Verdict.Bottleneck != "each batch" || f.Verdict.Stage != 1 || f.Verdict.Waiting != "produce" {
			t.Errorf("state %q, verdict %+v", f.State, f.Verdict)
		}
		if f.Sentence != s.Sentence || !strings.HasPrefix(f.Sentence, "each batch is the bottleneck: busy 100% of the time") {
			t.Errorf("sentences %q and %q", f.Sentence, s.Sentence)
		}
		if s.Subject != "flow 1" || s.Running != 1 || s.Memory != (Memory{Used: f.Used, Limit: f.Ceiling}) || f.Used == 0 || f.Ceiling < f.Peak {
			t.Errorf("subject %q, %d running, memory %+v, used %d, ceiling %d", s.Subject, s.Running, s.Memory, f.Used, f.Ceiling)
		}
		write, read := f.Stages["1"], f.Stages["0"]
		if write.Shares[0] < 0.99 || read.Shares[1] < 0.99 || write.InRate < 1000 || s.Out != write.InRate || f.Pipes["0"].Fill < 0.7 { // the sink may be taking a chunk at this instant
			t.Errorf("write %+v, read %+v, pipe %+v", write, read, f.Pipes["0"])
		}
		if len(f.Stages) != 2 || len(f.Pipes) != 1 || f.Wall < 2.9 || f.Name != "copy" {
			t.Errorf("%+v", f)
		}
		text := s.Text()
		for _, part := range []string{f.Sentence, "flow 1 copy, pushing back", "produce → each batch", "copy started"} {
			if !strings.Contains(text, part) {
				t.Errorf("the text has no %q:\n%s", part, text)
			}
		}
		if err := stop(); !errors.Is(err, context.Canceled) {
			t.Error(err)
		}
		s = m.Snapshot()
		if f := only(t, s.Flows); f.Running || f.State != Canceled || s.Running != 0 || s.Runs.Canceled != 1 || f.Err == "" {
			t.Errorf("after the end: %+v, %+v", f, s.Runs)
		}
	})
}

func TestMonitor_RatesAreThoseOfTheLastSecond(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var m Monitor
		defer m.Close()
		defer m.WatchAll()()
		start(t, paced("steady", 1<<30, 10*time.Millisecond, 0))
		time.Sleep(5*time.Second + 10*time.Millisecond)
		s := m.Snapshot()
		if min(s.In, s.Out) < 99_000 || max(s.In, s.Out) > 105_000 {
			t.Errorf("in %v, out %v, want about 102400", s.In, s.Out)
		}
		if f := only(t, s.Flows); f.State != KeepingUp {
			t.Errorf("state %q, %s", f.State, f.Sentence)
		}
	})
}

func TestMonitor_ShowsFlowsThatEndedBeforeItLooked(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var m Monitor
		defer m.Close()
		defer m.WatchAll()()
		failing := weir.FromSlice([]int{1}).To(weir.Each(func(context.Context, int) error { return errBroken }))
		failing.Name = "failing"
		for range maxRecent + 5 {
			if err := paced("quick", 1, 0, 0).Run(t.Context()); err != nil {
				t.Fatal(err)
			}
		}
		if err := failing.Run(t.Context()); !errors.Is(err, errBroken) {
			t.Fatal(err)
		}
		s := m.Snapshot()
		if len(s.Flows) != maxRecent || s.Runs != (Runs{Succeeded: maxRecent + 5, Failed: 1}) || s.State != Failed {
			t.Errorf("%d flows, %+v, state %q", len(s.Flows), s.Runs, s.State)
		}
		f := s.Flows["26"]
		if f.State != Failed || !strings.Contains(f.Err, "broken") || f.Name != "failing" || !strings.Contains(s.Sentence, "broken") {
			t.Errorf("the last one: %+v; sentence %q", f, s.Sentence)
		}
		if q := s.Flows["25"]; q.Stages["0"].Out != 1024 || q.State != Succeeded {
			t.Errorf("the one before it: %+v", q)
		}
		if e := s.Events[decimal(len(s.Events))]; len(s.Events) < maxEventsRate && e.Kind != "failed" || len(s.Events) > maxEventsRate { // it may have seen some of them run
			t.Errorf("events: %+v", s.Events)
		}
	})
}

func TestMonitor_WatchesOneFlow(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var m Monitor
		defer m.Close()
		f := paced("mine", 1<<30, 0, time.Millisecond)
		stop := start(t, f)
		synctest.Wait()
		time.Sleep(time.Second)
		done := m.Watch(f) // it runs
		stopOther := start(t, paced("other", 1<<30, 0, time.Millisecond))
		time.Sleep(3 * time.Second)
		s := m.Snapshot()
		if g := only(t, s.Flows); g.Name != "mine" || g.Wall < 3.9 || g.Verdict.Bottleneck != "each batch" {
			t.Errorf("%+v", g)
		}
		_ = stop()
		time.Sleep(time.Second) // its end is seen by looking
		if g := only(t, m.Snapshot().Flows); g.State != Canceled {
			t.Errorf("%+v", g)
		}
		stop = start(t, f) // runs again
		time.Sleep(time.Second)
		if s := m.Snapshot(); len(s.Flows) != 2 || s.Running != 1 {
			t.Errorf("%d flows, %d run", len(s.Flows), s.Running)
		}
		_ = stop()
		if s := m.Snapshot(); s.Runs.Canceled != 2 || s.Running != 0 {
			t.Errorf("%+v", s.Runs)
		}
		done()
		stop = start(t, f)
		time.Sleep(time.Second)
		if s := m.Snapshot(); s.Running != 0 || len(s.Flows) != 2 {
			t.Errorf("watched after done: %+v", s.Flows)
		}
		_, _ = stop(), stopOther()
	})
}

func TestMonitor_RunThatFollowsAWatchedOneAtOnceIsAnotherRun(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var m Monitor
		defer m.Close()
		f := paced("again", 1<<30, 0, time.Millisecond)
		stop := start(t, f)
		time.Sleep(time.Second)
		defer m.Watch(f)()
		time.Sleep(time.Second)
		_ = stop() // no sample sees that it has ended
		stop = start(t, f)
		time.Sleep(time.Second)
		s := m.Snapshot()
		if len(s.Flows) != 2 || s.Running != 1 || s.Flows["1"].Running || !s.Flows["2"].Running {
			t.Errorf("%+v", s.Flows)
		}
		_ = stop()
	})
}

func TestMonitor_TwoAtOnceSeeTheSame(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var a, b Monitor
		defer a.Close()
		defer b.Close()
		defer a.WatchAll()()
		f := paced("shared", 1<<30, 0, time.Millisecond)
		defer b.Watch(f)()
		defer a.Watch(f)() // twice in one monitor is one run
		stop := start(t, f)
		time.Sleep(4 * time.Second)
		x, y := only(t, a.Snapshot().Flows), only(t, b.Snapshot().Flows)
		if x.Sentence != y.Sentence || x.Name != "shared" || y.Name != "shared" || x.Sentence == "measuring" {
			t.Errorf("%+v\n%+v", x, y)
		}
		_ = stop()
		if n := a.Snapshot().Runs.Canceled + b.Snapshot().Runs.Canceled; n != 2 {
			t.Errorf("%d ends", n)
		}
	})
}

// logged collects the lines of a logger.
type logged struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *logged) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *logged) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

func TestMonitor_LogsWhatBecomesTheBottleneckAndWhatStalls(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var log logged
		m := Monitor{Log: slog.New(slog.NewTextHandler(&log, nil))}
		defer m.Close()
		defer m.WatchAll()()
		gate := make(chan struct{})
		wait := 0
		f := weir.Generate("produce", func(ctx context.Context, emit func([]byte) error) error {
			for {
				if err := emit(make([]byte, 1024)); err != nil {
					return err
				}
			}
		}).Async(weir.Bytes(8 << 10)).To(weir.EachBatch(func(context.Context, []byte) error {
			time.Sleep(time.Millisecond)
			if wait++; wait == 3000 {
				<-gate
			}
			return nil
		}))
		f.Name = "watched"
		stop := start(t, f)
		time.Sleep(4 * time.Second)
		s := m.Snapshot()
		sentence := s.Sentence
		count := func(kind string) (n int) {
			for _, e := range m.Snapshot().Events {
				if e.Kind == kind {
					n++
				}
			}
			return n
		}
		if count("bottleneck") != 1 || !strings.Contains(log.String(), "each batch became the bottleneck of flow watched: each batch is the bottleneck") {
			t.Errorf("%+v\n%s", s.Events, log.String())
		}
		if count("stalled") != 0 {
			t.Error("stalled too early")
		}
		time.Sleep(5 * time.Second)
		if s := m.Snapshot(); count("stalled") != 1 || s.State != Stalled || only(t, s.Flows).Stalled < 5 || s.Sentence != sentence {
			t.Errorf("after 5 s without progress: %q, %q, %+v", s.State, s.Sentence, s.Events)
		}
		close(gate)
		time.Sleep(time.Second)
		if s := m.Snapshot(); count("resumed") != 1 || s.State != PushingBack {
			t.Errorf("after it went on: %q, %+v", s.State, s.Events)
		}
		_ = stop()
		if count("ended") != 1 || count("started") != 1 {
			t.Errorf("%+v", m.Snapshot().Events)
		}
		for _, line := range []string{"event=started", "event=stalled", "event=resumed", "event=ended", "level=WARN"} {
			if !strings.Contains(log.String(), line) {
				t.Errorf("no %s in the log:\n%s", line, log.String())
			}
		}
	})
}

func TestMonitor_KeepsAndLogsFewEvents(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var log logged
		m := Monitor{Log: slog.New(slog.NewTextHandler(&log, nil))}
		defer m.Close()
		for range 20 {
			for i := range 100 {
				m.TransferEnded("files", report.Transfer{ID: uint64(i), Client: "198.51.100.7:1", Size: 1 << 20, Moved: 1 << 10}, context.Canceled)
				m.TransferEnded("files", report.Transfer{ID: uint64(i)}, nil)
			}
			time.Sleep(time.Second)
		}
		if n := len(m.Snapshot().Events); n != maxEvents {
			t.Errorf("%d events are kept", n)
		}
		if n := strings.Count(log.String(), "\n"); n != 20*maxEventsRate {
			t.Errorf("%d events were logged", n)
		}
		if !strings.Contains(log.String(), "client left after 1 KiB of 1 MiB: context canceled (and 80 events before it, too fast to show)") {
			t.Error(log.String()[:1000])
		}
	})
}

func TestMonitor_TellsClientsThatLeaveFromTransfersThatFail(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var m Monitor
		defer m.Close()
		for i, err := range []error{
			context.Canceled, io.ErrUnexpectedEOF, &net.OpError{Op: "write", Err: errBroken}, fmt.Errorf("upload: %w", weir.ErrStalled), errBroken,
		} {
			m.TransferEnded("files", report.Transfer{ID: uint64(i + 1), Size: -1, Moved: 2048}, err)
		}
		events := m.Snapshot().Events
		for id, want := range map[string]string{
			"1": "left: client left after 2 KiB: ", "2": "left: client left after 2 KiB: ", "3": "left: client left after 2 KiB: ",
			"4": "left: client was too slow and was disconnected after 2 KiB: ", "5": "failed: transfer failed after 2 KiB: broken",
		} {
			if e := events[id]; !strings.HasPrefix(e.Kind+": "+e.Text, want) || e.Subject != "files "+id {
				t.Errorf("%+v, want %q", e, want)
			}
		}
	})
}

func TestMonitor_GoroutineEndsWhenNothingRuns(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var m Monitor
		running := func() bool {
			synctest.Wait()
			m.mu.Lock()
			defer m.mu.Unlock()
			return m.loop != nil
		}
		stop := m.WatchAll()
		if running() {
			t.Error("it runs while nothing does")
		}
		end := start(t, paced("f", 1<<30, 0, time.Millisecond))
		if !running() {
			t.Error("it does not run while a flow does")
		}
		_ = end()
		time.Sleep(2 * tick)
		if running() {
			t.Error("it runs after the flow")
		}
		m.Snapshot()
		time.Sleep(2 * tick)
		if running() {
			t.Error("it runs after a snapshot")
		}
		stop()
		m.Close()
		m.Close()
		if s := m.Snapshot(); !s.Closed || len(s.Flows) != 1 {
			t.Errorf("after Close: %+v", s)
		}
		if m.Watch(paced("late", 1, 0, 0)); m.WatchAll() == nil {
			t.Error("nil")
		}
		if err := paced("late", 1, 0, 0).Run(t.Context()); err != nil || len(m.Snapshot().Flows) != 1 {
			t.Error("a closed monitor registers flows", err)
		}
	})
}

func TestMonitor_CloseWhileAFlowRunsDoesNotDisturbIt(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var m Monitor
		m.WatchAll()
		f := paced("f", 3000, 0, time.Millisecond)
		done := make(chan error)
		go func() { done <- f.Run(t.Context()) }()
		time.Sleep(time.Second)
		m.Close()
		if err := <-done; err != nil {
			t.Error(err)
		}
		list := m.Metrics()
		if v := value(t, list, "weir_flow_runs_total", "f", "succeeded"); v != 1 {
			t.Errorf("%v runs", v)
		}
	})
}

func TestMonitor_ShowsAFewOfManyFlowsAndCountsAll(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var m Monitor
		defer m.Close()
		defer m.WatchAll()()
		var stops []func() error
		for range 2 * maxWatched {
			stops = append(stops, start(t, paced("many", 1<<30, 100*time.Millisecond, 0)))
		}
		time.Sleep(time.Second)
		s := m.Snapshot()
		if len(s.Flows) != maxWatched || s.Running != 2*maxWatched || !strings.Contains(s.Text(), "50 more flows run") {
			t.Errorf("%d of %d", len(s.Flows), s.Running)
		}
		if v := value(t, m.Metrics(), "weir_flow_running", "many"); v != 2*maxWatched {
			t.Errorf("metrics say %v", v)
		}
		for _, stop := range stops[:maxWatched] {
			_ = stop()
		}
		time.Sleep(time.Second)
		s = m.Snapshot()
		if n := running(flowsOf(s)); n != maxWatched || s.Running != maxWatched {
			t.Errorf("%d of %d", n, s.Running)
		}
		for _, stop := range stops {
			_ = stop()
		}
	})
}

func flowsOf(s *Snapshot) (list []Flow) {
	for _, f := range s.Flows {
		list = append(list, f)
	}
	return list
}

func TestMonitor_ShowsTheTransfersThatWaitLongest(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var m Monitor
		defer m.Close()
		files := &fakeTransfers{n: 10_000, start: time.Now(), totals: report.Totals{Succeeded: 7}}
		m.Transfers("files", files)
		time.Sleep(10 * time.Second)
		s := m.Snapshot()
		g := s.Transfers["files"]
		if len(g.Rows) != maxRows || g.Hidden != 10_000-maxRows || g.Active != 10_000 || g.Succeeded != 7 {
			t.Errorf("%d rows, %d hidden, %+v", len(g.Rows), g.Hidden, g.Totals)
		}
		if r := g.Rows["10000"]; r.Waited != 10_000 || r.Rate != 1e10 {
			t.Errorf("%+v", r)
		}
		if s.Subject != "files 10000" || !strings.Contains(s.Sentence, "the destination is the bottleneck") || s.State != PushingBack {
			t.Errorf("%q: %q, %q", s.Subject, s.Sentence, s.State)
		}
		if files.lists > 12 {
			t.Errorf("listed %d times in 10 s", files.lists)
		}
		if !strings.Contains(s.Text(), "and 9950 more") {
			t.Error(s.Text())
		}
		m.Transfers("files", nil)
		if s := m.Snapshot(); len(s.Transfers) != 0 || s.State != Idle {
			t.Errorf("%+v", s.Transfers)
		}
	})
}

func TestMonitor_HeadlineIsAboutWhatMattersMost(t *testing.T) {
	s := &Snapshot{}
	s.headline([]subject{
		{"a", KeepingUp, "a", 0, 1}, {"b", PushingBack, "b", 0, 3}, {"c", PushingBack, "c", 0, 2}, {"d", KeepingUp, "d", 0, 0},
	}, nil)
	if s.Subject != "c" {
		t.Errorf("got %q, want the oldest that pushes back", s.Subject)
	}
	s.headline([]subject{{"c", PushingBack, "c", 0, 2}, {"e", Stalled, "e", 0, 9}}, nil)
	if s.Subject != "e" {
		t.Errorf("got %q, want the stalled one", s.Subject)
	}
}

func TestText_HasNoControlCharacters(t *testing.T) {
	s := &Snapshot{Sentence: "x", Flows: map[string]Flow{"1": {ID: 1, Name: "a\x1b[2J\nb", Sentence: "y"}}}
	if text := s.Text(); strings.ContainsAny(text, "\x1b\a") || !strings.Contains(text, "flow 1 a?[2J") {
		t.Errorf("%q", text)
	}
}
