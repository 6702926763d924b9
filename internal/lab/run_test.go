package lab

import (
	"context"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/weir-go/weir/internal/race"
)

// broken are experiments whose sides misbehave, for these tests only.
func broken() []Experiment {
	named := func(name, like string) Experiment {
		e, _ := Find(Experiments(), like)
		e.Name = name
		return e
	}
	hoard := named("hoard", "transform")
	hoard.B = func(ctx context.Context, h *Host) error { // keeps what it states not to keep
		h.Ready(nil, 64<<10, func() int64 { return 32 << 10 })
		grow(ctx, 3*Headroom)
		<-ctx.Done()
		return nil
	}
	overfull := named("overfull", "transform")
	overfull.B = func(ctx context.Context, h *Host) error { // holds more by its own account
		h.Ready(nil, 64<<10, func() int64 { return 64<<10 + 1 })
		return nil
	}
	leaky := named("leaky", "abort")
	leaky.B = func(ctx context.Context, h *Host) error { // leaks descriptors, as A does
		return naiveAbort(ctx, h)
	}
	runaway := named("runaway", "transform")
	runaway.A = func(ctx context.Context, h *Host) error {
		h.Ready(nil, 0, nil)
		grow(ctx, 1<<40)
		return nil
	}
	runaway.B = func(ctx context.Context, h *Host) error {
		h.Ready(nil, 64<<10, func() int64 { return 0 })
		return nil
	}
	deaf := named("deaf", "transform")
	deaf.A = func(context.Context, *Host) error { // never ready, and does not end
		select {}
	}
	dying := named("dying", "transform")
	dying.B = func(_ context.Context, h *Host) error {
		h.Ready(nil, 64<<10, nil)
		panic("a side that dies")
	}
	failing := named("failing", "transform")
	failing.B = func(context.Context, *Host) error { return errors.New("a side that fails") }
	return []Experiment{hoard, overfull, leaky, runaway, deaf, dying, failing}
}

// grow holds more and more memory, up to n bytes, until ctx ends.
func grow(ctx context.Context, n int64) {
	var kept [][]byte
	for ; n > 0 && ctx.Err() == nil; n -= 1 << 20 {
		page := make([]byte, 1<<20)
		for i := range page {
			page[i] = 1
		}
		kept = append(kept, page)
	}
	<-ctx.Done()
	runtime.KeepAlive(kept)
}

// small are settings of which the naive side holds much more than its headroom, and
// which do not take long.
func small(t *testing.T, name string) (Experiment, Options) {
	t.Helper()
	e, ok := Find(append(Experiments(), broken()...), name)
	if !ok {
		t.Fatalf("there is no experiment %s", name)
	}
	t.Setenv("TMPDIR", t.TempDir())
	return e, Options{
		Command:  func(ctx context.Context) *exec.Cmd { return exec.CommandContext(ctx, os.Args[0], sideArgument) },
		Guard:    1 << 30,
		Override: Settings{For: 600 * time.Millisecond},
	}
}

// runs runs an experiment and checks that nothing is left of it.
func runs(t *testing.T, e Experiment, o Options) []*Result {
	t.Helper()
	list, err := e.Run(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	nothingLeft(t)
	return list
}

func nothingLeft(t *testing.T) {
	t.Helper()
	left, err := os.ReadDir(os.Getenv("TMPDIR"))
	if err != nil || len(left) > 0 {
		t.Errorf("left in the folder of temporary files: %v, %v", left, err)
	}
	tasks, err := filepath.Glob("/proc/self/task/*/children") // of each thread; nothing but on Linux
	if err != nil {
		t.Error(err)
	}
	for _, task := range tasks {
		if children, err := os.ReadFile(task); err == nil && len(strings.Fields(string(children))) > 0 {
			t.Errorf("processes that still run: %s", children)
		}
	}
}

func measured(t *testing.T) {
	t.Helper()
	if runtime.GOOS != "linux" {
		t.Skip("resident memory is measured from outside on Linux only")
	}
	if race.Enabled {
		t.Skip("the race detector takes more memory than what is measured")
	}
}

func TestRun_ANaiveSideHoldsTheDataAndWeirStaysBelowItsCeiling(t *testing.T) {
	measured(t)
	for _, c := range []struct {
		name string
		set  Settings // such that A has more to queue than B may hold
	}{
		{"buffer-all", Settings{Clients: 8, Size: 8 << 20, Rate: 16 << 20, For: 20 * time.Second}}, // ends by itself
		{"ignore-write-result", Settings{Clients: 4, Size: 24 << 20, Rate: 1 << 20}},
		{"upload", Settings{Clients: 2, Size: 48 << 20, Rate: 2 << 20}},
		{"transform", Settings{Size: 96 << 20, Rate: 2 << 20}},
		{"fan-out", Settings{Size: 96 << 20, Rate: 2 << 20}},
	} {
		t.Run(c.name, func(t *testing.T) {
			e, o := small(t, c.name)
			o.Override = o.Override.Or(c.set)
			r := runs(t, e, o)[0]
			a, b := r.Sides[0], r.Sides[1]
			if grown, most := a.Peak-a.Idle, b.Ceiling+Headroom; grown <= most {
				t.Errorf("A grew by %s, no more than the %s that B states", bytes(grown), bytes(most))
			}
			if a.Ceiling != 0 || b.Ceiling <= 0 {
				t.Errorf("ceilings of A and B: %d and %d", a.Ceiling, b.Ceiling)
			}
			if !r.OK() || len(r.Checks) < 2 {
				t.Errorf("checks: %v", r.Checks)
			}
			if b.Held == 0 || b.Held > b.Ceiling {
				t.Errorf("B held %d of %d", b.Held, b.Ceiling)
			}
			for _, s := range r.Sides {
				if s.Trouble != "" || s.Sent == 0 || s.Read < s.Sent-chunkSize*int64(max(1, c.set.Clients)) || len(s.Samples) < 3 {
					t.Errorf("side %s: trouble %q, read %d, sent %d, %d samples", s.Letter, s.Trouble, s.Read, s.Sent, len(s.Samples))
				}
			}
			if e.load != loadNone && (a.Kernel <= 0 || b.Kernel <= 0) {
				t.Errorf("kernel memory of sockets: %d and %d", a.Kernel, b.Kernel)
			}
			if e.load == loadDownload && (a.Served != c.set.Clients || b.Served != c.set.Clients) {
				t.Errorf("%d and %d clients got a first byte", a.Served, b.Served)
			}
		})
	}
}

func TestRun_CountsTheDescriptorsThatAbortedDownloadsLeave(t *testing.T) {
	measured(t)
	e, o := small(t, "abort")
	o.Override = Settings{Clients: 30, Size: 4 << 20, For: 10 * time.Second}
	r := runs(t, e, o)[0]
	a, b := r.Sides[0], r.Sides[1]
	if left := a.FilesLeft - a.FilesIdle; left <= spareFiles {
		t.Errorf("the naive side has %d descriptors more after 30 clients have left", left)
	}
	if !r.OK() || b.FilesLeft-b.FilesIdle > spareFiles {
		t.Errorf("weir has %d descriptors, and had %d; %v", b.FilesLeft, b.FilesIdle, r.Checks)
	}
}

func TestRun_ClientsHasARoundForEachNumberUnlessOneIsGiven(t *testing.T) {
	e, o := small(t, "clients")
	if n := len(e.rounds(Settings{})); n != 2 || e.rounds(Settings{})[1].Clients != 1000 {
		t.Errorf("%d rounds", n)
	}
	o.Override = Settings{Clients: 60, Size: 256 << 10, For: 400 * time.Millisecond}
	list := runs(t, e, o)
	if len(list) != 1 || list[0].Settings.Clients != 60 || list[0].Sides[1].Served != 60 {
		t.Errorf("%d rounds, %+v", len(list), list[0].Settings)
	}
	if b := list[0].Sides[1]; b.Ceiling != 60*chunkSize || !list[0].OK() && !race.Enabled {
		t.Errorf("a ceiling of %s, %v", bytes(b.Ceiling), list[0].Checks)
	}
}

func TestRun_TheGuardEndsARunawaySide(t *testing.T) {
	measured(t)
	e, o := small(t, "runaway")
	o.Guard, o.Override.For = 128<<20, time.Minute
	r := runs(t, e, o)[0]
	a := r.Sides[0]
	if !a.Guarded || a.Peak < o.Guard || !strings.Contains(a.Trouble, "guard of 128 MiB") {
		t.Errorf("ended by the guard: %v at %s, %q", a.Guarded, bytes(a.Peak), a.Trouble)
	}
	if !r.OK() {
		t.Errorf("what the naive side does counts against weir: %v", r.Checks)
	}
}

func TestRun_FindsWhatASideBreaks(t *testing.T) {
	for name, what := range map[string]string{
		"hoard":    "growth of weir's resident memory",
		"overfull": "memory in weir's buffers",
		"leaky":    "descriptors that weir left open",
	} {
		t.Run(name, func(t *testing.T) {
			if name != "overfull" {
				measured(t)
			}
			e, o := small(t, name)
			o.Override = Settings{Clients: 30, Size: 4 << 20, For: 500 * time.Millisecond}
			r := runs(t, e, o)[0]
			if r.OK() {
				t.Fatalf("nothing is broken: %v", r.Checks)
			}
			for _, c := range r.Checks {
				if name == "leaky" && c.What != what {
					continue // what it leaks holds memory, too
				}
				if c.OK == (c.What == what) {
					t.Errorf("%v", c)
				}
			}
		})
	}
}

func TestRun_SaysWhyWeirsSideEnded(t *testing.T) {
	for name, want := range map[string]string{"dying": "panic: a side that dies", "failing": "a side that fails"} {
		e, o := small(t, name)
		o.Override.Size = 1 << 20
		_, err := e.Run(t.Context(), o)
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v", name, err)
		}
		nothingLeft(t)
	}
}

func TestRun_ACanceledContextEndsEveryProcess(t *testing.T) {
	why := errors.New("the user asked for it")
	for _, name := range []string{"deaf", "upload"} {
		e, o := small(t, name)
		o.Override.For = time.Minute
		ctx, cancel := context.WithCancelCause(t.Context())
		o.Watch = func(p *Progress) {
			if len(p.Now.Samples) > 2 {
				cancel(why)
			}
		}
		if name == "deaf" { // it is never watched
			time.AfterFunc(200*time.Millisecond, func() { cancel(why) })
		}
		if _, err := e.Run(ctx, o); !errors.Is(err, why) {
			t.Errorf("%s: %v", name, err)
		}
		nothingLeft(t)
		cancel(nil)
	}
}

func TestRunSide_EndsAndCleansUpWhenItsParentDies(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "weir-lab-test")
	if err := os.Mkdir(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(os.Args[0], sideArgument)
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	if _, err := in.Write([]byte(`{"Experiment":"deaf","Side":"A","Dir":"` + filepath.ToSlash(dir) + `"}` + "\n")); err != nil {
		t.Fatal(err)
	}
	in.Close() // as when the parent is killed
	if err := cmd.Wait(); err == nil {
		t.Error("the side says that it has succeeded")
	}
	if _, err := os.Stat(dir); !os.IsNotExist(err) {
		t.Errorf("the folder is still there: %v", err)
	}
}

func TestNode_RunsTheTutorialsCode(t *testing.T) {
	node, err := FindNode()
	if err != nil {
		t.Skip("node is not installed")
	}
	measured(t)
	e, o := small(t, "upload")
	o.Node, o.Override = node, Settings{Clients: 2, Size: 32 << 20, Rate: 2 << 20, For: 500 * time.Millisecond}
	r := runs(t, e, o)[0]
	if len(r.Sides) != 4 {
		t.Fatalf("%d sides", len(r.Sides))
	}
	naive, pipe := r.Sides[2], r.Sides[3]
	if naive.Trouble != "" || pipe.Trouble != "" || naive.Sent == 0 || pipe.Sent == 0 {
		t.Errorf("%q, %q, sent %d and %d", naive.Trouble, pipe.Trouble, naive.Sent, pipe.Sent)
	}
	if naive.Wait < 2*pipe.Wait {
		t.Errorf("waiting in the naive one %s, with pipe %s", bytes(naive.Wait), bytes(pipe.Wait))
	}
}

func TestNode_EveryScriptIsThereAndUsed(t *testing.T) {
	used := map[string]bool{"harness.js": true}
	for _, e := range Experiments() {
		ok, why := e.HasNode()
		if ok == (why != "") {
			t.Errorf("%s has scripts: %v, and says %q", e.Name, ok, why)
		}
		for _, s := range e.node {
			used[s.file] = true
			if _, err := nodeFiles.ReadFile("node/" + s.file); err != nil {
				t.Error(err)
			}
		}
	}
	files, err := nodeFiles.ReadDir("node")
	if err != nil || len(files) != len(used) {
		t.Errorf("%d files, %d in use, %v", len(files), len(used), err)
	}
}
