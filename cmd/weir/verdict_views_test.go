package main

import (
	"bytes"
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/weir-go/weir"
	"github.com/weir-go/weir/internal/procpipe"
	"github.com/weir-go/weir/monitor"
	"github.com/weir-go/weir/report"
)

var writeDocs = flag.Bool("docs", false, "write the table of docs/how-the-verdict-works.md instead of comparing it")

// course is an arrangement that changes over time, and the answers that are right.
type course struct {
	name string
	turn []turn
	slow func(t time.Duration) (read, work, store time.Duration)
	disk bool          // store is the outside world
	held time.Duration // for how long others hold the memory
}

// turn is from when on an answer is right. Names with a + are two that share it.
type turn struct {
	at   time.Duration
	want string
}

const (
	little = 100 * time.Microsecond // that a value takes
	much   = 10 * time.Millisecond
)

// steadily is an arrangement that does not change.
func steadily(read, work, store time.Duration) func(time.Duration) (a, b, c time.Duration) {
	return func(time.Duration) (a, b, c time.Duration) { return read, work, store }
}

// every alternates between two stages.
func every(period time.Duration, one, two [3]time.Duration) func(time.Duration) (a, b, c time.Duration) {
	return func(t time.Duration) (a, b, c time.Duration) {
		now := one
		if t%(2*period) >= period {
			now = two
		}
		return now[0], now[1], now[2]
	}
}

func courses() []course {
	return []course{
		{name: "the source is slow", turn: []turn{{0, "read"}}, slow: steadily(much, little, little)},
		{name: "a stage is slow", turn: []turn{{0, "work"}}, slow: steadily(little, much, little)},
		{name: "the disk is slow", turn: []turn{{0, "store"}}, slow: steadily(little, little, much), disk: true},
		{name: "the source and the disk are equally slow, and one of them stays named", turn: []turn{{0, "read"}}, slow: steadily(much, little, much), disk: true},
		{
			name: "the source gives nothing for 4 s, then a burst for 0.5 s", turn: []turn{{0, "read"}},
			slow: func(t time.Duration) (a, b, c time.Duration) {
				if rest := t % (4500 * time.Millisecond); rest < 4*time.Second {
					return 4*time.Second - rest, little, little
				}
				return little, 5 * little, little
			},
		},
		{
			name: "a fast source; the disk stalls for 0.4 s of each 0.5 s", turn: []turn{{0, "store"}}, disk: true,
			slow: func(t time.Duration) (a, b, c time.Duration) {
				if rest := t % (500 * time.Millisecond); rest < 400*time.Millisecond {
					return little, little, 400*time.Millisecond - rest
				}
				return little, little, little
			},
		},
		{
			name: "a stage and the disk are slow in turn, for 0.25 s each", turn: []turn{{0, "work+store"}}, disk: true,
			slow: every(250*time.Millisecond, [3]time.Duration{little, much, little}, [3]time.Duration{little, little, much}),
		},
		{
			name: "a stage is slow for 20 s, then the disk, then the stage", turn: []turn{{0, "work"}, {20 * time.Second, "store"}, {40 * time.Second, "work"}}, disk: true,
			slow: every(20*time.Second, [3]time.Duration{little, much, little}, [3]time.Duration{little, little, much}),
		},
		{
			name: "the source is slow for 15 s, then a stage, then the source again", turn: []turn{{0, "read"}, {15 * time.Second, "work"}, {30 * time.Second, "read"}},
			slow: every(15*time.Second, [3]time.Duration{much, little, little}, [3]time.Duration{little, much, little}),
		},
		{
			name: "a stage is slow, and the disk for 1 s of each 20 s", turn: []turn{{0, "work"}}, disk: true,
			slow: func(t time.Duration) (a, b, c time.Duration) {
				if t%(20*time.Second) > 19*time.Second {
					return little, little, much
				}
				return little, much, little
			},
		},
		{
			name: "other flows hold the memory for 20 s, then the disk is slow", turn: []turn{{0, "budget"}, {20 * time.Second, "store"}},
			slow: steadily(little, little, much), disk: true, held: 20 * time.Second,
		},
	}
}

// flow builds the flow of a course. begin is when it starts.
func (c *course) flow(begin time.Time) *weir.Flow {
	wait := func(i int) {
		var d [3]time.Duration
		d[0], d[1], d[2] = c.slow(time.Since(begin))
		time.Sleep(d[i])
	}
	read := weir.Generate("read", func(ctx context.Context, emit func([]byte) error) error {
		for ctx.Err() == nil {
			wait(0)
			if err := emit(make([]byte, 1024)); err != nil {
				return err
			}
		}
		return ctx.Err()
	})
	work := weir.Do("work", func(_ context.Context, in []byte, emit func([]byte) error) error {
		for ; len(in) > 0; in = in[min(len(in), 1024):] {
			wait(1)
			if err := emit(in[:min(len(in), 1024)]); err != nil {
				return err
			}
		}
		return nil
	}, nil)
	store := weir.EachBatch(func(_ context.Context, batch []byte) error {
		for range (len(batch) + 1023) / 1024 {
			wait(2)
		}
		return nil
	})
	if c.disk {
		store = weir.ToWriter(writerFunc(func(p []byte) (int, error) {
			for range (len(p) + 1023) / 1024 {
				wait(2)
			}
			return len(p), nil
		}))
	}
	store.Name = "store"
	f := read.Async(weir.Bytes(4 << 10)).Through(work).Async(weir.Bytes(4 << 10)).To(store)
	f.Name = "course"
	return f
}

type writerFunc func([]byte) (int, error)

func (f writerFunc) Write(p []byte) (int, error) { return f(p) }

// answerOf is a sentence about a flow of a course in the words of turns.
func answerOf(sentence string) string {
	switch {
	case strings.Contains(sentence, "measuring"):
		return "measuring"
	case strings.Contains(sentence, "memory budget is the bottleneck"):
		return "budget"
	case strings.Contains(sentence, "the source is the bottleneck"):
		return "read"
	case strings.Contains(sentence, "the destination is the bottleneck"):
		return "store"
	}
	names := []string{"read", "work", "store", "tar", "gzip", "ssh"}
	for _, name := range names {
		if strings.Contains(sentence, name+" is the bottleneck") {
			return name
		}
	}
	if strings.Contains(sentence, "no single bottleneck: ") && !strings.Contains(sentence, "governed") {
		var both []string
		for _, name := range names {
			if strings.Contains(sentence, " "+name+" (") {
				both = append(both, name)
			}
		}
		return strings.Join(both, "+")
	}
	return "none"
}

// observed is what one view has shown, in turn.
type observed struct {
	mu   sync.Mutex
	list []turn
}

// see notes what is shown at a time.
func (o *observed) see(at time.Duration, answer string) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if n := len(o.list); n == 0 || o.list[n-1].want != answer {
		o.list = append(o.list, turn{at, answer})
	}
}

// linesOf calls f for each line that is written.
type linesOf func(line []byte)

func (f linesOf) Write(p []byte) (int, error) {
	for line := range bytes.Lines(p) {
		f(line)
	}
	return len(p), nil
}

const (
	// notice is how long a change takes until it is shown: the two seconds that a
	// verdict is about, the two that it must hold, and a look.
	notice = 5 * time.Second

	// apart is how far two views can be from each other: between two lines of JSON.
	apart = 1500 * time.Millisecond
)

// right compares what a view has shown with what it should.
func (o *observed) right(t *testing.T, view string, turns []turn) {
	t.Helper()
	list := o.list
	for len(list) > 0 && list[0].want == "measuring" {
		list = list[1:]
	}
	var got, want []string
	for i, s := range list {
		got = append(got, fmt.Sprintf("%s from %v", s.want, s.at))
		if i > 0 && s.at-list[i-1].at < report.Hold {
			t.Errorf("%s: it flaps: %v", view, list)
		}
	}
	for _, s := range turns {
		want = append(want, s.want)
	}
	if len(list) != len(turns) {
		t.Errorf("%s: shows %q, want %q", view, got, want)
		return
	}
	for i, s := range list {
		if s.want != turns[i].want || s.at < turns[i].at || s.at > turns[i].at+notice {
			t.Errorf("%s: shows %q, want %s within %v of %v", view, got, turns[i].want, notice, turns[i].at)
		}
	}
}

// TestVerdict_IsTrueOverTimeAndTheSameInEveryView runs each course for 45 s of the
// bubble's time, and looks at all that shows its verdict.
func TestVerdict_IsTrueOverTimeAndTheSameInEveryView(t *testing.T) {
	for _, c := range courses() {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) { c.watch(t) })
		})
	}
}

func (c *course) watch(t *testing.T) {
	begin := time.Now()
	since := func() time.Duration { return time.Since(begin) }
	views := map[string]*observed{"page": {}, "status.txt": {}, "weir top": {}, "weir top --json": {}, "--json": {}, "live view": {}, "log": {}}

	logged := linesOf(func(line []byte) {
		var e struct{ Event, Verdict string }
		if err := json.Unmarshal(line, &e); err != nil {
			t.Error(err)
		}
		if e.Event == "bottleneck" {
			views["log"].see(since(), answerOf(e.Verdict))
		}
	})
	m := &monitor.Monitor{Log: slog.New(slog.NewJSONHandler(logged, nil))}
	defer m.Close()
	defer m.WatchAll()()

	f := c.flow(begin)
	if c.held > 0 {
		f.Budget = weir.NewBudget(1 << 20)
		if err := f.Budget.Acquire(t.Context(), 1<<20); err != nil {
			t.Fatal(err)
		}
		time.AfterFunc(c.held, func() { f.Budget.Release(1 << 20) })
	}
	st := &step{src: "in", dst: "out", flow: f}
	stderr := linesOf(func(line []byte) {
		var p struct {
			Type       string
			Bottleneck struct{ Sentence string }
		}
		if err := json.Unmarshal(line, &p); err != nil {
			t.Error(err)
		}
		if p.Type == "progress" {
			views["--json"].see(since(), answerOf(p.Bottleneck.Sentence))
		}
	})
	v := newView(&settings{json: true, progress: "auto", stderr: stderr}, "piped", []*step{st})
	live := newView(&settings{progress: "none", stderr: linesOf(func([]byte) {})}, "piped", []*step{st})
	live.live = &region{out: linesOf(func([]byte) {})}

	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error)
	go func() { done <- f.Run(ctx) }()
	finish := v.start(st)
	_ = live.start(st) // which shows nothing by itself
	synctest.Wait()

	top := &top{stdout: &bytes.Buffer{}, programs: &programs{all: map[string]*program{}}}
	for ; since() < 45*time.Second; time.Sleep(lookEvery) {
		snap := m.Snapshot()
		for key, flow := range snap.Flows {
			if flow.Sentence != snap.Sentence || snap.Subject != "flow "+key {
				t.Errorf("the headline is %q, the flow's %q", snap.Sentence, flow.Sentence)
			}
		}
		views["page"].see(since(), answerOf(snap.Sentence))
		line, _, _ := strings.Cut(snap.Text(), "\n")
		views["status.txt"].see(since(), answerOf(line))

		top.programs.all["x"] = &program{socket: "x", snap: snap, args: []string{"weir", "pipe"}}
		list := top.entries(procpipe.Totals{}, procpipe.Totals{}, time.Now())
		views["weir top"].see(since(), answerOf(strings.Join(top.reportRows(list, 400), "\n")))
		views["weir top --json"].see(since(), answerOf(list[0].json(top)["bottleneck"].(map[string]any)["sentence"].(string)))
		if s := list[0].json(top)["sentence"]; s != snap.Sentence {
			t.Errorf("weir top says %q, the page %q", s, snap.Sentence)
		}

		live.mu.Lock()
		now, at := live.watch.Look()
		rows := live.rows(live.current.named(now), f.Report(), at)
		live.mu.Unlock()
		if since() > 2*time.Second { // before that there is no sentence
			views["live view"].see(since(), answerOf(strings.Join(rows[len(rows)-min(3, len(rows)):], " ")))
		}
	}
	finish()
	cancel()
	<-done
	for name, o := range views {
		turns := c.turn
		if name == "log" && strings.Contains(turns[0].want, "+") {
			turns = turns[1:] // that there is no single bottleneck is no news at the beginning
		}
		o.right(t, name, turns)
	}
	// What one view shows another shows soon.
	for name, o := range views {
		if name == "log" {
			continue
		}
		page := slices.DeleteFunc(slices.Clone(views["page"].list), func(s turn) bool { return s.want == "measuring" })
		list := slices.DeleteFunc(slices.Clone(o.list), func(s turn) bool { return s.want == "measuring" })
		for i := range min(len(page), len(list)) {
			if d := list[i].at - page[i].at; d < -apart || d > apart {
				t.Errorf("%s shows %s at %v, the page at %v", name, list[i].want, list[i].at, page[i].at)
			}
		}
	}
}

// TestVerdict_OfAShellPipelineIsTrueOverTime gives weir who and weir top what they
// would see of processes whose slow one changes.
func TestVerdict_OfAShellPipelineIsTrueOverTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const s = time.Second
		line := &procpipe.Pipeline{
			Processes: []*procpipe.Process{{PID: 1, Command: "tar"}, {PID: 2, Command: "gzip"}, {PID: 3, Command: "ssh"}},
			Pipes:     []procpipe.Pipe{{Inode: 7, From: []int{0}, To: []int{1}}, {Inode: 8, From: []int{1}, To: []int{2}}},
		}
		begin := time.Now()
		times := map[procpipe.ID]procpipe.Times{}
		pass := func(d time.Duration, what ...func(*procpipe.Times) *time.Duration) {
			for i, p := range line.Processes {
				x := times[p.ID()]
				x.Wall += d
				*what[i](&x) += d
				times[p.ID()] = x
			}
		}
		busy := func(t *procpipe.Times) *time.Duration { return &t.Busy }
		blocked := func(t *procpipe.Times) *time.Duration { return &t.Blocked }
		starved := func(t *procpipe.Times) *time.Duration { return &t.Starved }
		outside := func(t *procpipe.Times) *time.Duration { return &t.Outside }

		top := &topLive{top: &top{stdout: &bytes.Buffer{}, programs: &programs{all: map[string]*program{}}, shown: steadies{}}}
		top.lines.lines, top.lines.window, top.lines.began = []*procpipe.Pipeline{line}, 3*s, begin
		who := &steady{}
		var first, second, third observed
		for ; time.Since(begin) < 45*s; time.Sleep(s) {
			switch at := time.Since(begin); {
			case at < 20*s:
				pass(s, blocked, busy, starved)
			case at < 21*s: // a moment of the network does not count
				pass(s, blocked, blocked, outside)
			case at < 30*s:
				pass(s, blocked, busy, starved)
			default:
				pass(s, blocked, blocked, outside)
			}
			top.samples = procpipe.Totals{Samples: 9, At: time.Now(), Processes: map[procpipe.ID]procpipe.Times{}}
			for id, x := range times {
				top.samples.Processes[id] = x
			}
			top.looks.add(top.samples, 3*s)
			top.arrange()
			at := time.Since(begin)
			first.see(at, answerOf(top.list[0].sentence))
			second.see(at, answerOf(strings.Join(top.rows(79, 40), "\n")))
			f := judge(line, top.samples, top.looks[0], nil)
			third.see(at, answerOf(who.sentence(f, time.Now())))
		}
		want := []turn{{0, "gzip"}, {30 * s, "ssh"}}
		first.right(t, "weir top", want)
		second.right(t, "the rows of weir top", want)
		third.right(t, "weir who", want)
	})
}

// slowClient is the registry of a server with one client, which is slow from 20 s
// to 40 s; else the disk is.
type slowClient struct{ begin time.Time }

func (c slowClient) Totals() report.Totals { return report.Totals{Active: 1} }

func (c slowClient) Top(int) []report.Transfer {
	return []report.Transfer{{ID: 1, Method: "GET", Name: "film.mkv", Client: "198.51.100.7:4711", Start: c.begin, Size: 1 << 30, State: "sending"}}
}

func (c slowClient) ReportOf(uint64) (report.Report, bool) {
	wall := time.Since(c.begin)
	client := max(0, min(wall, 40*time.Second)-20*time.Second)
	disk := wall - client
	from := report.StageStats{Name: "read", Kind: report.KindSource, Workers: 1, OutUnit: "bytes", Wall: wall, Outside: disk, Blocked: client}
	to := report.StageStats{Name: "client", Kind: report.KindSink, Workers: 1, Unit: "bytes", Upstream: []int{0}, Wall: wall, Outside: client, Starved: disk}
	return report.Report{Running: true, Wall: wall, Stages: []report.StageStats{from, to}, Verdict: report.Judge(wall, from, to)}, true
}

func TestVerdict_OfAServersSlowClientIsTrueOverTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const s = time.Second
		m := &monitor.Monitor{}
		defer m.Close()
		begin := time.Now()
		m.Transfers("files", slowClient{begin})
		top := &top{stdout: &bytes.Buffer{}, programs: &programs{all: map[string]*program{}}}
		h := m.Handler(monitor.HandlerOptions{Allow: func(*http.Request) bool { return true }})
		var page, text, one observed
		for ; time.Since(begin) < 60*s; time.Sleep(lookEvery) {
			snap := m.Snapshot()
			at := time.Since(begin)
			if at < 2*s { // of a transfer that has just begun
				continue
			}
			page.see(at, answerOf(snap.Sentence))
			var f monitor.Flow
			w := httptest.NewRecorder()
			h.ServeHTTP(w, httptest.NewRequest("GET", "/transfer.json?group=files&id=1", nil))
			if err := json.Unmarshal(w.Body.Bytes(), &f); err != nil {
				t.Fatal(err)
			}
			one.see(at, answerOf("client 198.51.100.7:4711: "+f.Sentence))
			top.programs.all["x"] = &program{socket: "x", snap: snap, args: []string{"weir", "serve"}}
			list := top.entries(procpipe.Totals{}, procpipe.Totals{}, time.Now())
			text.see(at, answerOf(list[0].sentence))
			if list[0].kind != "server" || !strings.HasPrefix(list[0].sentence, "client 198.51.100.7:4711: ") {
				t.Errorf("%+v", list[0])
			}
		}
		want := []turn{{0, "read"}, {20 * s, "store"}, {40 * s, "read"}}
		page.right(t, "page", want)
		text.right(t, "weir top", want)
		one.right(t, "the transfer by itself", want)
	})
}

// The table in the documentation is that of these tests.
func TestVerdict_TableIsThatOfTheDocumentation(t *testing.T) {
	const name = "../../docs/how-the-verdict-works.md"
	const from, to = "<!-- begin of the table -->\n", "<!-- end of the table -->\n"
	var b strings.Builder
	b.WriteString("| what happens | the verdict that is shown |\n|---|---|\n")
	row := func(what string, turns []turn) {
		var answers []string
		for _, s := range turns {
			a := s.want
			if one, other, two := strings.Cut(a, "+"); two {
				a = "none: " + one + " and " + other
			}
			if a == "budget" {
				a = "the memory budget"
			}
			if s.at > 0 {
				a = fmt.Sprintf("from %g s: %s", s.at.Seconds(), a)
			}
			answers = append(answers, a)
		}
		fmt.Fprintf(&b, "| %s | %s |\n", what, strings.Join(answers, "; "))
	}
	for _, c := range courses() {
		row(c.name, c.turn)
	}
	row("a shell pipeline `tar \\| gzip \\| ssh`: gzip is slow for 30 s, then ssh", []turn{{0, "gzip"}, {30 * time.Second, "ssh"}})
	row("a server: its disk is slow, and its client from 20 s to 40 s", []turn{{0, "read"}, {20 * time.Second, "client"}, {40 * time.Second, "read"}})
	page, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	before, rest, ok := strings.Cut(string(page), from)
	got, after, ended := strings.Cut(rest, to)
	if !ok || !ended {
		t.Fatalf("no table in %s", name)
	}
	if got == b.String() {
		return
	}
	if !*writeDocs {
		t.Fatalf("the table is not that of the tests; write it with: go test ./cmd/weir -run TableIsThat -docs\n%s", b.String())
	}
	if err := os.WriteFile(name, []byte(before+from+b.String()+to+after), 0o644); err != nil {
		t.Fatal(err)
	}
}
