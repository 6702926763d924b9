package main

import (
	"bytes"
	"encoding/json"
	"fmt"
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

	"golang.org/x/sys/unix"
)

// ownFolder gives weir top a folder of sockets of this test. Its name is short,
// since the system allows only short names for sockets.
func ownFolder(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "top")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	return dir
}

// weirWith is a command of weir that uses a folder of sockets.
func weirWith(dir string, args ...string) *exec.Cmd {
	cmd := exec.Command("weir", args...)
	cmd.Env = append(os.Environ(), socketVariable+"="+dir)
	return cmd
}

type toppedStage struct {
	Name                            string
	Busy, Blocked, Starved, Outside float64
}

// toppedRun is a line of weir top --json.
type toppedRun struct {
	Kind, Name, State, Sentence string
	PIDs                        []int
	In, Out                     *float64
	Bottleneck                  struct {
		Is, Stage, Sentence string
	}
	Processes []struct {
		Name   string
		Stages []toppedStage
	}
	Transfers []map[string]any
	Active    int
	Hidden    int
}

// topped runs weir top --json until right says so of one of its lines.
func topped(t *testing.T, dir, what string, right func(toppedRun) bool) toppedRun {
	t.Helper()
	var said []byte
	for end := time.Now().Add(90 * time.Second); time.Now().Before(end); {
		cmd := weirWith(dir, "top", "--json", "--for", "500ms")
		var err error
		if said, err = cmd.Output(); err != nil {
			continue // nothing runs yet
		}
		for line := range bytes.Lines(said) {
			var r toppedRun
			if err := json.Unmarshal(line, &r); err != nil {
				t.Fatalf("%v: %s", err, line)
			}
			if right(r) {
				return r
			}
		}
	}
	t.Fatalf("never found: %s; the last look:\n%s", what, said)
	return toppedRun{}
}

// The pipeline of the documentation: the command between two of weir has its own
// name, and weir's own counts replace what can be seen from outside.
func TestTop_JoinsWhatAShellPipeConnects(t *testing.T) {
	t.Parallel()
	need(t, "bash", "sort", "pv")
	dir := ownFolder(t)
	work := t.TempDir()
	packed := filepath.Join(work, "a.log.gz")
	var text bytes.Buffer
	for i := range 400_000 {
		fmt.Fprintf(&text, "%x\n", uint64(i)*0x9e3779b97f4a7c15)
	}
	plain := filepath.Join(work, "a.log")
	if err := os.WriteFile(plain, text.Bytes(), 0o644); err != nil {
		t.Fatal(err)
	}
	if out, err := weirWith("off", "pipe", plain, "gzip", packed).CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	run := func(line string) {
		// Again and again, since a fast machine is done before anybody has looked.
		cmd := exec.Command("bash", "-c", "while :; do "+line+"; done")
		cmd.Env = append(os.Environ(), socketVariable+"="+dir)
		cmd.Dir = work
		cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() {
			_ = syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) // it may have ended
			_ = cmd.Wait()
		})
	}
	run("weir pipe a.log.gz gunzip - -q | sort -R | weir pipe - zstd out.zst -q")
	// What one writes to is what the other reads from: it waits there for others, and
	// not for the outside world.
	waits := func(stages []toppedStage, name string, state func(toppedStage) float64) bool {
		i := slices.IndexFunc(stages, func(s toppedStage) bool { return s.Name == name })
		return i >= 0 && state(stages[i]) > 0.5 && stages[i].Outside == 0
	}
	r := topped(t, dir, "sort -R is the bottleneck", func(r toppedRun) bool {
		return r.Kind == "pipeline" && r.Bottleneck.Stage == "sort -R" && len(r.Processes) == 3 &&
			waits(r.Processes[0].Stages, "stdout", func(s toppedStage) float64 { return s.Blocked }) &&
			waits(r.Processes[2].Stages, "stdin", func(s toppedStage) float64 { return s.Starved })
	})
	if len(r.PIDs) != 3 || !strings.HasPrefix(r.Name, "weir pipe a.log.gz gunzip - ") || !strings.Contains(r.Name, " | sort -R | weir pipe - zstd ") {
		t.Errorf("%+v", r)
	}
	if !strings.HasPrefix(r.Sentence, "sort -R is the bottleneck: busy ") || !strings.Contains(r.Sentence, "(weir pipe a.log.gz gunzip") {
		t.Errorf("it says %q", r.Sentence)
	}
	// weir who says the same of it.
	cmd := weirWith(dir, "who", "--once", "--for", "1s", "-p", fmt.Sprint(r.PIDs[1]))
	out, _ := cmd.CombinedOutput() // the sort can have ended meanwhile
	if bytes.Contains(out, []byte("is the bottleneck")) && !regexp.MustCompile(`(?m)^ +stdin +\d+% `).Match(out) {
		t.Errorf("weir who says\n%s", out)
	}
}

// A slow stage inside of weir is named, with the command that it is in.
func TestTop_NamesTheStageOfWeirThatAPipelineWaitsFor(t *testing.T) {
	t.Parallel()
	need(t, "bash")
	dir := ownFolder(t)
	cmd := exec.Command("bash", "-c", "weir pipe /dev/zero upper - -q | cat | weir pipe - rate:1MiB/s upper /dev/null -q")
	cmd.Env = append(os.Environ(), socketVariable+"="+dir)
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL)
		_ = cmd.Wait()
	})
	r := topped(t, dir, "the rate is the bottleneck", func(r toppedRun) bool {
		return r.Kind == "pipeline" && strings.HasPrefix(r.Bottleneck.Stage, "rate (weir pipe - rate:1MiB/s") && r.State == "pushing back"
	})
	if r.In == nil || r.Out == nil || !strings.Contains(r.Sentence, " waits for it ") {
		t.Errorf("%+v", r)
	}
}

// Of another user's runs nothing is seen, and a folder of sockets that somebody
// else has made first is not used.
func TestTop_KeepsUsersApart(t *testing.T) {
	t.Parallel()
	if os.Geteuid() != 0 {
		t.Skip("only root can become another user")
	}
	dir := ownFolder(t)
	if err := os.Chmod(dir, 0o755); err != nil { // the way to it is open, as in /tmp
		t.Fatal(err)
	}
	mine := filepath.Join(dir, "root")
	running := weirWith(mine, "pipe", "/dev/zero", "rate:1MiB/s", "/dev/null", "-q")
	if err := running.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = running.Process.Kill(); _ = running.Wait() })
	topped(t, mine, "the run", func(r toppedRun) bool { return r.PIDs[0] == running.Process.Pid })

	as := func(args ...string) (said string, code int) {
		cmd := &exec.Cmd{
			Path: "/proc/self/exe", Args: append([]string{"weir"}, args...), Dir: "/",
			SysProcAttr: &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: 65534, Gid: 65534}},
			Env:         []string{"PATH=/usr/bin:/bin", "TMPDIR=/tmp", "HOME=/", socketVariable + "=" + mine},
		}
		out, _ := cmd.CombinedOutput()
		return string(out), cmd.ProcessState.ExitCode()
	}
	if said, code := as("top", "--once", "--for", "100ms"); code != exitFailed || !strings.Contains(said, "belongs to another user") {
		t.Errorf("exit code %d: %s", code, said)
	}
	before := entries(t, mine)
	if said, code := as("pipe", "/etc/hostname", "upper", "-"); code != exitOK || strings.Contains(said, "weir:") {
		t.Errorf("a command in a folder that is not its user's: exit code %d: %s", code, said)
	}
	if after := entries(t, mine); !slices.Equal(before, after) {
		t.Errorf("it left %q", after)
	}
}

// At two signals, at one, and at a kill: who looks finds no socket that nobody
// listens on.
func TestTop_LeavesNoSocketBehind(t *testing.T) {
	t.Parallel()
	dir := ownFolder(t)
	for _, sigs := range [][]os.Signal{{syscall.SIGTERM}, {syscall.SIGHUP}, {os.Interrupt}} {
		cmd := weirWith(dir, "pipe", "/dev/zero", "rate:1MiB/s", "/dev/null", "-q")
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		until(t, "its socket", func() bool { return len(entries(t, dir)) == 1 })
		for _, sig := range sigs {
			_ = cmd.Process.Signal(sig)
		}
		_ = cmd.Wait()
		if left := entries(t, dir); len(left) > 0 {
			t.Errorf("%v leaves %q", sigs, left)
		}
	}
	// What a killed one leaves goes when the next command begins.
	cmd := weirWith(dir, "pipe", "/dev/zero", "rate:1MiB/s", "/dev/null", "-q")
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	until(t, "its socket", func() bool { return len(entries(t, dir)) == 1 })
	_ = cmd.Process.Kill()
	_ = cmd.Wait()
	if left := entries(t, dir); len(left) != 1 {
		t.Errorf("a kill leaves %q", left)
	}
	if out, err := weirWith(dir, "pipe", "/etc/hostname", "upper", "/dev/null", "-q").CombinedOutput(); err != nil {
		t.Errorf("%v: %s", err, out)
	}
	if left := entries(t, dir); len(left) > 0 {
		t.Errorf("the next command leaves %q", left)
	}
}

// The socket of a command that has just begun exists before the command listens, so weir
// top leaves it alone. It removes a socket that was left long ago.
func TestTop_RemovesNoSocketOfACommandThatBegins(t *testing.T) {
	t.Parallel()
	dir := ownFolder(t)
	name := filepath.Join(dir, strconv.Itoa(os.Getpid())+socketSuffix)
	fd, err := unix.Socket(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(fd)
	if err := unix.Bind(fd, &unix.SockaddrUnix{Name: name}); err != nil {
		t.Fatal(err)
	}
	_ = weirWith(dir, "top", "--once", "--for", "100ms").Run()
	if left := entries(t, dir); len(left) != 1 {
		t.Errorf("left %q", left)
	}
	long := time.Now().Add(-time.Minute)
	if err := os.Chtimes(name, long, long); err != nil {
		t.Fatal(err)
	}
	_ = weirWith(dir, "top", "--once", "--for", "100ms").Run()
	if left := entries(t, dir); len(left) != 0 {
		t.Errorf("an old one stays: %q", left)
	}
}

// A server and its slow client, by the socket and by its address.
func TestTop_ShowsTheTransfersOfAServer(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "film.mkv"), noise(64<<20), 0o600); err != nil {
		t.Fatal(err)
	}
	s := startServe(t, dir)
	slow := getFrom(t, s.url+"film.mkv") // and takes nothing of it
	defer slow.Body.Close()
	var said []byte
	for end := time.Now().Add(time.Minute); ; {
		var err error
		said, err = exec.Command("weir", "top", "--json", "--for", "100ms", s.url).Output()
		if err != nil {
			t.Fatal(err)
		}
		var r toppedRun
		if err := json.Unmarshal(said, &r); err != nil {
			t.Fatal(err)
		}
		if r.Kind == "server" && r.Active == 1 && len(r.Transfers) == 1 && r.Transfers[0]["state"] == "waiting for the client" && strings.Contains(r.Sentence, "the destination is the bottleneck") {
			break
		}
		if time.Now().After(end) {
			t.Fatalf("the last look:\n%s", said)
		}
	}
	said, err := exec.Command("weir", "top", "--once", "--for", "100ms", strings.TrimPrefix(s.url, "http://127.0.0.1")).Output()
	if err != nil {
		t.Fatal(err)
	}
	for _, re := range []string{
		`(?m)^weir top: 1 server, `,
		`(?m)^  client +file +state +moved +rate +waited$`,
		`(?m)^  127\.0\.0\.1 +film\.mkv +wait: client +\S+ .iB +\d+% +\S+ .?i?B/s +\d+ s$`,
		`(?m)^  1 transfer now, 0 succeeded, 0 failed, `,
	} {
		if !regexp.MustCompile(re).Match(said) {
			t.Errorf("nothing matches %s in\n%s", re, said)
		}
	}
}
