package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/creack/pty"

	"github.com/weir-go/weir/internal/procpipe"
	"github.com/weir-go/weir/report"
)

// roles are what this test binary does as a process of a pipeline: programs of
// Go wait for pipes in epoll and futex.
const roleVariable = "WEIR_TEST_WHO_ROLE"

func init() {
	role := os.Getenv(roleVariable)
	if role == "" {
		return
	}
	os.Unsetenv(roleVariable)
	in, out := polled(os.Stdin), polled(os.Stdout)
	switch role {
	case "relay": // reads ahead in one goroutine and writes in another
		chunks := make(chan []byte, 4)
		go func() {
			defer close(chunks)
			for {
				b := make([]byte, 32<<10)
				n, err := in.Read(b)
				if err != nil {
					return
				}
				chunks <- b[:n]
			}
		}()
		for b := range chunks {
			if _, err := out.Write(b); err != nil {
				os.Exit(1)
			}
		}
	case "burn": // takes long for each byte
		b := make([]byte, 4<<10)
		sum := byte(0)
		for {
			n, err := in.Read(b)
			if err != nil {
				os.Exit(0)
			}
			for range 2000 {
				for _, c := range b[:n] {
					sum = sum*31 + c
				}
			}
			b[0] = sum
			if _, err := out.Write(b[:n]); err != nil {
				os.Exit(1)
			}
		}
	case "parent": // joins two children by a pipe and keeps an end of it
		r, w, err := os.Pipe()
		if err != nil {
			os.Exit(1)
		}
		a, b := exec.Command("cat", "/dev/zero"), exec.Command("cat")
		a.Stdout, b.Stdin = w, r
		if a.Start() != nil || b.Start() != nil {
			os.Exit(1)
		}
		w.Close()
		_ = a.Wait() // the test ends it
	}
	os.Exit(0)
}

// polled is a standard stream that the poller of Go waits for.
func polled(f *os.File) *os.File {
	fd := int(f.Fd())
	if err := syscall.SetNonblock(fd, true); err != nil {
		os.Exit(1)
	}
	return os.NewFile(uintptr(fd), f.Name())
}

// goRole is the command that runs this binary in a role.
func goRole(t *testing.T, role string) string {
	exe, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	return roleVariable + "=" + role + " " + quoted(exe)
}

// bash starts a command line in a process group of its own, which ends with the
// test.
func bash(t *testing.T, text string, as *syscall.Credential) *exec.Cmd {
	t.Helper()
	need(t, "bash")
	cmd := exec.Command("bash", "-c", text+"\ntrue") // bash stays the parent
	cmd.Dir = "/"
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Credential: as}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) // it may have ended
		_ = cmd.Wait()
	})
	return cmd
}

func need(t *testing.T, tools ...string) {
	t.Helper()
	for _, tool := range tools {
		if _, err := exec.LookPath(tool); err != nil {
			t.Skipf("%s is not installed", tool)
		}
	}
}

// findings watches what runs below a process until right says so of one of its
// pipelines. Other work on this machine can make it take several looks.
func findings(t *testing.T, below int, what string, right func(*finding) bool) *finding {
	t.Helper()
	var last []string
	for end := time.Now().Add(90 * time.Second); time.Now().Before(end); {
		w := &who{pid: below, began: time.Now()}
		if err := w.find(); err != nil {
			t.Fatal(err)
		}
		if len(w.lines) == 0 {
			time.Sleep(10 * time.Millisecond)
			continue
		}
		if err := w.watch(context.Background(), 400*time.Millisecond, true); err != nil {
			t.Fatal(err)
		}
		now := w.sampler.Totals()
		last = nil
		for _, l := range w.lines {
			f := judge(l, now, procpipe.Totals{}, nil)
			if right(f) {
				return f
			}
			last = append(last, f.rows(f.sentence(), 100, painter{})...)
		}
	}
	t.Fatalf("never found: %s; the last look:\n%s", what, strings.Join(last, "\n"))
	return nil
}

// state is the greatest share of the process with this title.
func (f *finding) state(title string) string {
	i := slices.IndexFunc(f.names, func(n string) bool { return strings.HasPrefix(n, title) })
	if i < 0 {
		return "missing"
	}
	t := f.times[i]
	best, most := "none", time.Duration(0)
	for _, s := range []struct {
		name string
		d    time.Duration
	}{{"busy", t.Busy}, {"blocked", t.Blocked}, {"starved", t.Starved}, {"outside", t.Outside}, {"unknown", t.Unknown}} {
		if s.d > most {
			best, most = s.name, s.d
		}
	}
	return best
}

func TestWho_NamesTheBottleneckOfAShellPipeline(t *testing.T) {
	lines := filepath.Join(t.TempDir(), "lines")
	var text bytes.Buffer
	for i := range 1_500_000 {
		fmt.Fprintf(&text, "%x\n", uint64(i)*0x9e3779b97f4a7c15)
	}
	if err := os.WriteFile(lines, text.Bytes(), 0o644); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		name   string
		needs  string
		text   string
		stage  string            // the beginning of its title
		states map[string]string // title → state
	}{
		{"gzip", "gzip", `cat /dev/urandom | gzip -9 | cat - >/dev/null`, "gzip -9",
			map[string]string{"cat /dev/urandom": "blocked", "gzip -9": "busy", "cat -": "starved"}},
		{"sort", "sort", `while :; do cat ` + lines + ` | sort --parallel=1 -S 300M | cat >/dev/null; done`, "sort",
			map[string]string{"sort": "busy"}},
		{"pv that limits the rate", "pv", `yes | pv -q -L 1m | cat - >/dev/null`, "pv -q -L 1m",
			map[string]string{"yes": "blocked", "cat -": "starved"}},
		{"cat before a slow reader", "pv", `cat /dev/zero | cat - | pv -q -L 500k >/dev/null`, "pv -q -L 500k",
			map[string]string{"cat /dev/zero": "blocked", "cat -": "blocked"}},
		{"a slow source", "pv", `pv -q -L 500k /dev/zero | cat - | cat >/dev/null`, "pv -q -L 500k /dev/zero",
			map[string]string{"cat -": "starved"}},
		{"pigz", "pigz", `cat /dev/urandom | pigz -p2 -9 | cat - >/dev/null`, "pigz -p2 -9",
			map[string]string{"cat /dev/urandom": "blocked", "cat -": "starved"}},
		{"node that is slow", "node", `yes | node -e 'process.stdin.on("data", c => { const e = Date.now() + 30; while (Date.now() < e); process.stdout.write(c) })' | cat - >/dev/null`,
			"node -e", map[string]string{"yes": "blocked", "cat -": "starved"}},
		{"node that is held back", "node", `yes | node -e 'process.stdin.pipe(process.stdout)' | dd bs=1k 2>/dev/null | { while read -r -N 500 x; do :; done; }`,
			"bash", map[string]string{"yes": "blocked", "node": "blocked"}},
		{"a Go program that is slow", "cat", `cat /dev/zero | ` + goRole(t, "burn") + ` | cat - >/dev/null`, "weir.test",
			map[string]string{"cat /dev/zero": "blocked", "cat -": "starved"}},
		{"a Go program that is held back", "pv", `cat /dev/zero | ` + goRole(t, "relay") + ` | pv -q -L 500k >/dev/null`, "pv -q",
			map[string]string{"cat /dev/zero": "blocked", "weir.test": "blocked"}},
		{"a Go program that gets too little", "pv", `pv -q -L 500k /dev/zero | ` + goRole(t, "relay") + ` | cat - >/dev/null`, "pv -q",
			map[string]string{"weir.test": "starved", "cat -": "starved"}},
		{"tee with a slow branch", "gzip", `cat /dev/urandom | tee >(gzip -9 >/dev/null) | cat - >/dev/null`, "gzip -9",
			map[string]string{"cat /dev/urandom": "blocked", "tee": "blocked", "cat -": "starved"}},
		{"tee with a slow main way", "gzip", `cat /dev/urandom | tee >(cat - >/dev/null) | gzip -9 >/dev/null`, "gzip -9",
			map[string]string{"tee": "blocked", "cat -": "starved"}},
		{"tee without a pipe before it", "gzip", `tee >(gzip -9 >/dev/null) </dev/urandom >/dev/null`, "gzip -9",
			map[string]string{"tee": "blocked"}},
		{"a command that reads two", "pv", `cmp <(cat /dev/zero) <(pv -q -L 500k /dev/zero)`, "pv -q",
			map[string]string{"cat /dev/zero": "blocked", "cmp": "starved"}},
		{"a loop of the shell", "gzip", `cat /dev/zero | while read -r -N 300 x; do gzip -9 </dev/null >/dev/null; done`, "bash",
			map[string]string{"cat /dev/zero": "blocked"}},
		{"output that all share", "gzip", `{ cat /dev/urandom | gzip -9 | cat - >/dev/null; } 2>&1 | cat >/dev/null`, "gzip -9",
			map[string]string{"cat /dev/urandom": "blocked", "cat -": "starved"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			need(t, c.needs)
			cmd := bash(t, c.text, nil)
			f := findings(t, cmd.Process.Pid, c.stage+" is the bottleneck", func(f *finding) bool {
				if !strings.HasPrefix(f.verdict.Stage, c.stage) {
					return false
				}
				for title, state := range c.states {
					if f.state(title) != state {
						return false
					}
				}
				return true
			})
			if f.at < 0 || !strings.HasPrefix(f.names[f.at], c.stage) {
				t.Errorf("process %d is marked", f.at)
			}
			if s := f.sentence(); !regexp.MustCompile(`is the bottleneck: (busy|outside|busy or outside) \d+% of the last [\d.]+ s( \(it waits for .*\))?(; .* waits for it \d+%)?$`).MatchString(s) {
				t.Errorf("it says %q", s)
			}
		})
	}
}

func TestWho_MakesNoEdgeOfAPipeThatAParentKeeps(t *testing.T) {
	cmd := bash(t, `yes | cat - >/dev/null & `+goRole(t, "parent")+" & wait", nil)
	settled := false // a child that has not yet begun its program has what the parent has
	findings(t, cmd.Process.Pid, "yes | cat -", func(f *finding) bool {
		if settled && slices.Contains(f.names, "cat /dev/zero") {
			t.Fatalf("there is a pipeline of %q", f.names)
		}
		children := 0 // of the parent
		scan, err := procpipe.Find()
		if err != nil {
			t.Fatal(err)
		}
		for _, dir := range glob(t, "/proc/[0-9]*") {
			pid, _ := strconv.Atoi(filepath.Base(dir))
			if args, _ := os.ReadFile(dir + "/cmdline"); string(args) == "cat\x00/dev/zero\x00" && scan.Below(pid, cmd.Process.Pid) {
				children++
			}
		}
		was := settled
		settled = children == 1
		return was && settled && f.state("yes") != "missing"
	})
}

func glob(t *testing.T, pattern string) []string {
	list, err := filepath.Glob(pattern)
	if err != nil {
		t.Fatal(err)
	}
	return list
}

func TestWho_SaysThatAnotherUsersProcessIsNotRead(t *testing.T) {
	need(t, "setpriv", "gzip")
	if os.Geteuid() != 0 {
		t.Skip("only root can start a process of another user")
	}
	cmd := bash(t, `cat /dev/urandom | setpriv --reuid=65534 --clear-groups gzip -9 | cat - >/dev/null`, nil)
	f := findings(t, cmd.Process.Pid, "gzip", func(f *finding) bool {
		return strings.HasPrefix(f.verdict.Stage, "gzip") && f.line.Processes[f.at].Hidden && len(f.line.Processes) == 3
	})
	rows := strings.Join(f.rows(f.sentence(), 80, painter{}), "\n")
	if !strings.Contains(rows, fmt.Sprintf("weir may not read gzip -9 (pid %d): it belongs to another user", f.line.Processes[f.at].PID)) {
		t.Errorf("the table does not say so:\n%s", rows)
	}
}

// Here the kernel refuses: weir runs as the user who owns the pipeline but for
// one process.
func TestWho_SaysThatAProcessMayNotBeRead(t *testing.T) {
	need(t, "gzip")
	if os.Geteuid() != 0 {
		t.Skip("only root can start processes of other users")
	}
	nobody := &syscall.Credential{Uid: 65534, Gid: 65534}
	var pipes [2][2]*os.File
	for i := range pipes {
		r, w, err := os.Pipe()
		if err != nil {
			t.Fatal(err)
		}
		pipes[i] = [2]*os.File{r, w}
		if err := r.Chown(65534, 65534); err != nil { // as if the user's shell had made it
			t.Fatal(err)
		}
	}
	first, middle, last := exec.Command("cat", "/dev/urandom"), exec.Command("gzip", "-9"), exec.Command("cat", "-")
	first.Stdout, middle.Stdin, middle.Stdout, last.Stdin = pipes[0][1], pipes[0][0], pipes[1][1], pipes[1][0]
	group := 0
	for _, c := range []*exec.Cmd{first, middle, last} {
		c.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pgid: group, Credential: nobody}
		if c == middle {
			c.SysProcAttr.Credential = nil
		}
		if err := c.Start(); err != nil {
			t.Fatal(err)
		}
		if group == 0 {
			group = c.Process.Pid
		}
		defer func() { _ = c.Process.Kill(); _ = c.Wait() }()
	}
	for _, p := range pipes {
		p[0].Close()
		p[1].Close()
	}
	var said bytes.Buffer
	for end := time.Now().Add(time.Minute); time.Now().Before(end); {
		weir := &exec.Cmd{
			Path: "/proc/self/exe", Args: []string{"weir", "who", "--once", "--for", "400ms", "-p", fmt.Sprint(first.Process.Pid)},
			Dir: "/", SysProcAttr: &syscall.SysProcAttr{Credential: nobody}, Env: []string{"PATH=/usr/bin:/bin", "TMPDIR=/tmp", "HOME=/"},
		}
		said.Reset()
		weir.Stdout, weir.Stderr = &said, &said
		if err := weir.Run(); err != nil {
			t.Fatal(err, said.String())
		}
		text := strings.Join(strings.Fields(said.String()), " ")
		if strings.HasPrefix(text, "gzip -9 is the bottleneck: busy ") && strings.Contains(text, "cat /dev/urandom waits for it") &&
			strings.Contains(text, fmt.Sprintf("weir may not read gzip -9 (pid %d)", middle.Process.Pid)) {
			return
		}
	}
	t.Errorf("it said\n%s", &said)
}

func TestWho_PrintsATableOf80ColumnsAndJSON(t *testing.T) {
	need(t, "gzip")
	cmd := bash(t, `cat /dev/urandom | tee >(cat - >/dev/null) | gzip -9 | cat /dev/stdin /some/very/long/name/of/a/file/that/is/not/there >/dev/null 2>&1`, nil)
	pid := fmt.Sprint(cmd.Process.Pid)
	findings(t, cmd.Process.Pid, "the pipeline", func(f *finding) bool { return len(f.names) == 5 })
	var stdout, stderr bytes.Buffer
	if code := run([]string{"who", "--once", "--for", "300ms", "-p", pid}, &stdout, &stderr); code != exitOK || stderr.Len() > 0 {
		t.Fatalf("exit code %d: %s", code, &stderr)
	}
	for line := range strings.Lines(stdout.String()) {
		if n := columns(strings.TrimSuffix(line, "\n")); n > 79 {
			t.Errorf("%d columns: %s", n, line)
		}
	}
	for _, re := range []string{`PID process +busy blocked starved outside  output pipe`, `\d+ gzip -9 .*\[[#-]{8}\] +\d+%`, `\d+ cat /dev/stdi…`} {
		if !regexp.MustCompile(re).MatchString(stdout.String()) {
			t.Errorf("nothing matches %s in\n%s", re, &stdout)
		}
	}
	stdout.Reset()
	if code := run([]string{"who", "--json", "--for", "300ms", "-p", pid}, &stdout, &stderr); code != exitOK || stderr.Len() > 0 {
		t.Fatalf("exit code %d: %s", code, &stderr)
	}
	var got struct {
		V          int
		Type       string
		Seconds    float64
		Samples    int
		Bottleneck struct {
			Is, Sentence string
		}
		Processes []struct {
			PID                                      int
			Name                                     string
			Args                                     []string
			Readable, Ended                          *bool
			Busy, Blocked, Starved, Outside, Unknown float64
			CPU                                      *float64 `json:"cpu_seconds"`
		}
		Pipes []struct {
			From, To    []int
			Bytes, Size *int64
			Fill        *float64
		}
	}
	d := json.NewDecoder(&stdout)
	if err := d.Decode(&got); err != nil {
		t.Fatal(err)
	}
	if err := d.Decode(new(any)); !errors.Is(err, io.EOF) {
		t.Errorf("there is more than one line: %v", err)
	}
	if got.V != 1 || got.Type != "pipeline" || got.Seconds <= 0 || got.Samples < 2 || got.Bottleneck.Is == "" || got.Bottleneck.Sentence == "" || len(got.Processes) != 5 || len(got.Pipes) != 4 {
		t.Errorf("%+v", got)
	}
	for _, p := range got.Processes {
		if sum := p.Busy + p.Blocked + p.Starved + p.Outside + p.Unknown; sum < 0.99 || sum > 1.01 || p.PID == 0 || p.Name == "" || len(p.Args) == 0 || p.Readable == nil || p.Ended == nil || p.CPU == nil {
			t.Errorf("%+v", p)
		}
	}
	for _, p := range got.Pipes {
		if len(p.From) != 1 || len(p.To) != 1 || p.Bytes == nil || p.Size == nil || p.Fill == nil {
			t.Errorf("%+v", p)
		}
	}
}

func TestWho_EndsEarlyWhenThePipelineDoes(t *testing.T) {
	cmd := bash(t, `cat /dev/zero | cat - >/dev/null`, nil)
	f := findings(t, cmd.Process.Pid, "the pipeline", func(f *finding) bool { return len(f.names) == 2 })
	var stdout, stderr bytes.Buffer
	done := make(chan int)
	go func() {
		done <- run([]string{"who", "--once", "--for", "1h", "-p", fmt.Sprint(cmd.Process.Pid)}, &stdout, &stderr)
	}()
	select {
	case code := <-done:
		t.Fatalf("it did not wait: exit code %d: %s%s", code, &stdout, &stderr)
	case <-time.After(500 * time.Millisecond): // it has begun to watch
	}
	_ = syscall.Kill(f.line.Processes[0].PID, syscall.SIGKILL)
	if code := <-done; code != exitOK || !strings.Contains(stdout.String(), "the pipeline has ended; ") || !strings.Contains(stdout.String(), "  ended") {
		t.Errorf("exit code %d: %s%s", code, &stdout, &stderr)
	}
}

func TestWho_SaysThatAProcessIsStopped(t *testing.T) {
	cmd := bash(t, `yes | cat - >/dev/null`, nil)
	f := findings(t, cmd.Process.Pid, "the pipeline", func(f *finding) bool { return len(f.names) == 2 })
	pid := f.line.Processes[1].PID
	if err := syscall.Kill(pid, syscall.SIGSTOP); err != nil {
		t.Fatal(err)
	}
	f = findings(t, cmd.Process.Pid, "cat is stopped", func(f *finding) bool { return f.verdict.Stage == "cat -" && f.times[1].Stopped })
	if notes, want := strings.Join(f.notes(), "\n"), fmt.Sprintf("cat - (pid %d) is stopped, as by Ctrl-Z; continue it with fg, or kill -CONT %d.", pid, pid); notes != want {
		t.Errorf("it says %q", notes)
	}
}

func TestWho_WithoutAPipelineSaysSoAndExitsWith1(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("only root can become a user who runs nothing")
	}
	weir := &exec.Cmd{Path: "/proc/self/exe", Args: []string{"weir", "who"}, Dir: "/", Env: []string{"TMPDIR=/tmp", "HOME=/"}}
	weir.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: 61234, Gid: 61234}}
	said, err := weir.CombinedOutput()
	if want := "weir: no pipeline of yours is running\n  try: weir who again while one runs, such as: tar c . | gzip > all.tar.gz\n"; string(said) != want || weir.ProcessState.ExitCode() != exitFailed {
		t.Errorf("%v: %s", err, said)
	}
}

func TestWho_InATerminalShowsChangesUntilQIsPressed(t *testing.T) {
	t.Parallel()
	need(t, "pv")
	cmd := bash(t, `yes | pv -q -L 1m | cat - >/dev/null`, nil)
	findings(t, cmd.Process.Pid, "the pipeline", func(f *finding) bool { return len(f.names) == 3 })
	tty, s, ran, wait := inTerminal(t, 80, nil, "who", "-p", fmt.Sprint(cmd.Process.Pid))
	until(t, "the first look", func() bool { return s.seen(`measuring`) && s.seen(`^q quits`) })
	until(t, "the verdict", func() bool { return s.seen(`^since \d+ s: pv -q -L 1m is the bottleneck: outside \d+% of the last`) })
	until(t, "the mark", func() bool { return s.seen(`^> +\d+ pv -q -L 1m .*\d+%`) })
	fmt.Fprint(tty, "x") // no key of weir
	if err := pty.Setsize(tty, &pty.Winsize{Rows: 5, Cols: 80}); err != nil {
		t.Fatal(err)
	}
	until(t, "a low window", func() bool { return s.seen(`the window is too low for the rest`) })
	_ = syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL)
	if err := pty.Setsize(tty, &pty.Winsize{Rows: 40, Cols: 80}); err != nil {
		t.Fatal(err)
	}
	until(t, "the end of the pipeline", func() bool { return s.seen(`^no pipeline of yours is running`) })
	fmt.Fprint(tty, "q")
	wait()
	if code := ran.ProcessState.ExitCode(); code != exitOK {
		t.Errorf("exit code %d", code)
	}
}

func TestWho_CtrlCEndsTheLiveView(t *testing.T) {
	t.Parallel()
	cmd := bash(t, `yes | cat - >/dev/null`, nil)
	findings(t, cmd.Process.Pid, "the pipeline", func(f *finding) bool { return len(f.names) == 2 })
	tty, s, ran, wait := inTerminal(t, 50, nil, "who", "-p", fmt.Sprint(cmd.Process.Pid))
	until(t, "the first look", func() bool { return s.seen(`^q quits`) })
	if s.seen("PID") {
		t.Error("there is a table in 50 columns")
	}
	fmt.Fprint(tty, "\x03")
	wait()
	if code := ran.ProcessState.ExitCode(); code != exitInterrupted {
		t.Errorf("exit code %d", code)
	}
}

func TestWho_UsesTheExactTimesOfAProcessOfWeir(t *testing.T) {
	line := &procpipe.Pipeline{
		Processes: []*procpipe.Process{{PID: 1, Command: "tar"}, {PID: 2, Command: "weir"}, {PID: 3, Command: "ssh"}},
		Pipes:     []procpipe.Pipe{{Inode: 7, From: []int{0}, To: []int{1}}, {Inode: 8, From: []int{1}, To: []int{2}}},
	}
	const s = time.Second
	now := procpipe.Totals{Samples: 9, Processes: map[procpipe.ID]procpipe.Times{
		{PID: 1}: {Wall: 5 * s, Blocked: 5 * s},
		{PID: 2}: {Wall: 5 * s, Unknown: 5 * s},
		{PID: 3}: {Wall: 5 * s, Starved: 5 * s},
	}}
	f := judge(line, now, procpipe.Totals{}, func(pid int, window time.Duration) ([]report.StageStats, bool) {
		if pid != 2 || window != 5*s {
			return nil, false
		}
		return []report.StageStats{
			// Of 4 s of the 5, as when it was asked a second ago.
			{Name: "stdin", Kind: report.KindSource, Workers: 1, Wall: 4 * s, Blocked: 4 * s},
			{Name: "zstd", Kind: report.KindStage, Workers: 2, Wall: 8 * s, Busy: 8 * s, Upstream: []int{0}},
			{Name: "stdout", Kind: report.KindSink, Workers: 1, Wall: 4 * s, Starved: 4 * s, Upstream: []int{1}},
		}, true
	})
	if got, want := f.sentence(), "zstd (weir) is the bottleneck: busy 100% of the last 5 s; tar waits for it 100%"; got != want || f.at != 1 {
		t.Errorf("process %d, %s", f.at, got)
	}
	if f = judge(line, now, procpipe.Totals{}, nil); f.at != -1 || !strings.HasPrefix(f.sentence(), "unknown bottleneck: weir cannot see what weir does") {
		t.Errorf("process %d, %s", f.at, f.sentence())
	}
}

// A process can hold back all others while none of its stages works most of the time.
func TestWho_NamesAProcessOfWeirOfWhichNoStageStandsOut(t *testing.T) {
	const s = time.Second
	line := &procpipe.Pipeline{
		Processes: []*procpipe.Process{{PID: 1, Command: "weir"}, {PID: 2, Command: "gzip"}, {PID: 3, Command: "cat"}},
		Pipes:     []procpipe.Pipe{{Inode: 7, From: []int{0}, To: []int{1}}, {Inode: 8, From: []int{1}, To: []int{2}}},
	}
	stages := func(cut time.Duration) []report.StageStats {
		return []report.StageStats{
			{Name: "read", Kind: report.KindSource, Workers: 1, Wall: 5 * s, Blocked: 4900 * time.Millisecond, Busy: s / 10},
			{Name: "cut", Kind: report.KindStage, Workers: 1, Wall: 5 * s, Busy: cut, Blocked: 5*s - cut, Upstream: []int{0}},
			{Name: "zstd", Kind: report.KindStage, Workers: 1, Wall: 5 * s, Busy: 5*s - cut, Starved: cut, Upstream: []int{1}},
			{Name: "stdout", Kind: report.KindSink, Workers: 1, Wall: 5 * s, Starved: 5 * s, Upstream: []int{2}},
		}
	}
	idle := procpipe.Times{Wall: 5 * s, Starved: 5 * s}
	for _, c := range []struct {
		name, want string
		weir, gzip procpipe.Times
		cut        time.Duration
	}{
		{"two stages take turns", "weir is the bottleneck: busy 100% of the last 5 s", procpipe.Times{Wall: 5 * s, Busy: 5 * s}, idle, 1900 * time.Millisecond},
		{"one stage stands out", "zstd (weir) is the bottleneck: busy 96% of the last 5 s", procpipe.Times{Wall: 5 * s, Busy: 5 * s}, idle, s / 5},
		{
			"another process is as slow", "no single bottleneck", procpipe.Times{Wall: 5 * s, Busy: 2 * s, Blocked: 3 * s},
			procpipe.Times{Wall: 5 * s, Busy: 5 * s / 2, Starved: 5 * s / 2}, 1900 * time.Millisecond,
		},
		{"the samples do not know", "no single bottleneck", procpipe.Times{Wall: 5 * s, Unknown: 5 * s}, idle, 1900 * time.Millisecond},
	} {
		now := procpipe.Totals{Samples: 9, Processes: map[procpipe.ID]procpipe.Times{{PID: 1}: c.weir, {PID: 2}: c.gzip, {PID: 3}: idle}}
		f := judge(line, now, procpipe.Totals{}, func(pid int, _ time.Duration) ([]report.StageStats, bool) { return stages(c.cut), pid == 1 })
		if !strings.HasPrefix(f.sentence(), c.want) || (f.at == 0) != (f.verdict.Stage != "") {
			t.Errorf("%s: process %d, %q, want %q", c.name, f.at, f.sentence(), c.want)
		}
	}
}

// Between two processes of weir, what one writes to is what the other reads from:
// the time outside of one is a wait for the pipe.
func TestWho_TakesTheEndsOfProcessesOfWeirForThePipeBetweenThem(t *testing.T) {
	const s = time.Second
	line := &procpipe.Pipeline{
		Processes: []*procpipe.Process{{PID: 1, Command: "first"}, {PID: 2, Command: "sort"}, {PID: 3, Command: "last"}},
		Pipes:     []procpipe.Pipe{{Inode: 7, From: []int{0}, To: []int{1}}, {Inode: 8, From: []int{1}, To: []int{2}}},
	}
	stage := func(name string, kind report.Kind, spent report.StageStats, ups ...int) report.StageStats {
		spent.Name, spent.Kind, spent.Workers, spent.Wall, spent.Upstream = name, kind, 1, 5*s, ups
		return spent
	}
	// Each case is what sort did, what the end of first and the begin of last did,
	// and what else there is.
	for _, c := range []struct {
		name, want  string
		sort        procpipe.Times
		first, last []report.StageStats
	}{
		{
			"the process in the middle is slow", "sort", procpipe.Times{Wall: 5 * s, Busy: 5 * s},
			[]report.StageStats{
				stage("read", report.KindSource, report.StageStats{Blocked: 5 * s}), stage("gunzip", report.KindStage, report.StageStats{Blocked: 5 * s}, 0),
				stage("stdout", report.KindSink, report.StageStats{Outside: 5 * s}, 1),
			},
			[]report.StageStats{
				stage("stdin", report.KindSource, report.StageStats{Outside: 5 * s}), stage("zstd", report.KindStage, report.StageStats{Starved: 5 * s}, 0),
				stage("write", report.KindSink, report.StageStats{Starved: 5 * s}, 1),
			},
		},
		{
			"a stage of the first is slow", "gunzip (first)", procpipe.Times{Wall: 5 * s, Starved: 5 * s},
			[]report.StageStats{
				stage("read", report.KindSource, report.StageStats{Blocked: 5 * s}), stage("gunzip", report.KindStage, report.StageStats{Busy: 5 * s}, 0),
				stage("stdout", report.KindSink, report.StageStats{Starved: 5 * s}, 1),
			},
			[]report.StageStats{
				stage("stdin", report.KindSource, report.StageStats{Outside: 5 * s}), stage("zstd", report.KindStage, report.StageStats{Starved: 5 * s}, 0),
				stage("write", report.KindSink, report.StageStats{Starved: 5 * s}, 1),
			},
		},
		{
			"the disk of the last is slow", "write (last)", procpipe.Times{Wall: 5 * s, Blocked: 5 * s},
			[]report.StageStats{
				stage("read", report.KindSource, report.StageStats{Blocked: 5 * s}), stage("gunzip", report.KindStage, report.StageStats{Blocked: 5 * s}, 0),
				stage("stdout", report.KindSink, report.StageStats{Outside: 5 * s}, 1),
			},
			[]report.StageStats{
				stage("stdin", report.KindSource, report.StageStats{Blocked: 5 * s}), stage("zstd", report.KindStage, report.StageStats{Blocked: 5 * s}, 0),
				stage("write", report.KindSink, report.StageStats{Outside: 5 * s}, 1),
			},
		},
		{
			"a branch of the first is slow", "to slow.txt (first)", procpipe.Times{Wall: 5 * s, Starved: 5 * s},
			[]report.StageStats{
				stage("read", report.KindSource, report.StageStats{Blocked: 5 * s}), stage("tee", report.KindStage, report.StageStats{Blocked: 5 * s}, 0),
				stage("to slow.txt", report.KindSink, report.StageStats{Outside: 5 * s}, 1), stage("stdout", report.KindSink, report.StageStats{Starved: 5 * s}, 1),
			},
			[]report.StageStats{
				stage("stdin", report.KindSource, report.StageStats{Outside: 5 * s}), stage("write", report.KindSink, report.StageStats{Starved: 5 * s}, 0),
			},
		},
	} {
		now := procpipe.Totals{Samples: 9, Processes: map[procpipe.ID]procpipe.Times{
			{PID: 1}: {Wall: 5 * s, Unknown: 5 * s}, {PID: 2}: c.sort, {PID: 3}: {Wall: 5 * s, Unknown: 5 * s},
		}}
		f := judge(line, now, procpipe.Totals{}, func(pid int, _ time.Duration) ([]report.StageStats, bool) {
			switch pid {
			case 1:
				return slices.Clone(c.first), true
			case 3:
				return slices.Clone(c.last), true
			}
			return nil, false
		})
		if f.verdict.Stage != c.want {
			t.Errorf("%s: %q, want %q is the bottleneck", c.name, f.sentence(), c.want)
		}
	}
}
