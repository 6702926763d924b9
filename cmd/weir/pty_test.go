//go:build linux || darwin

package main

import (
	"bytes"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/creack/pty"
)

// screen is as much of a terminal as the live view uses.
type screen struct {
	mu    sync.Mutex
	rows  []string
	row   int
	col   int
	lines []string // every row that was ever complete
	raw   bytes.Buffer
	rest  string
}

var escape = regexp.MustCompile(`^\x1b\[([0-9;]*)([A-Za-z])`)

func (s *screen) Write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.raw.Write(p)
	text := s.rest + string(p)
	for text != "" {
		if text[0] == '\x1b' {
			m := escape.FindStringSubmatch(text)
			if m == nil {
				break // the rest is to come
			}
			text = text[len(m[0]):]
			n, _ := strconv.Atoi(m[1])
			switch m[2] {
			case "A":
				s.row = max(0, s.row-n)
			case "K":
				s.line(s.row)
			case "J":
				if s.row < len(s.rows) {
					s.rows = s.rows[:s.row]
				}
			}
			continue
		}
		switch text[0] {
		case '\r':
			s.col = 0
		case '\n':
			s.lines = append(s.lines, s.line(s.row))
			s.row++
		default:
			s.line(s.row)
			if s.col == 0 {
				s.rows[s.row] = ""
			}
			s.rows[s.row] += text[:1]
			s.col++
		}
		text = text[1:]
	}
	s.rest = text
	return len(p), nil
}

func (s *screen) line(n int) string {
	for len(s.rows) <= n {
		s.rows = append(s.rows, "")
	}
	return s.rows[n]
}

func (s *screen) seen(re string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, l := range s.lines {
		if regexp.MustCompile(re).MatchString(l) {
			return true
		}
	}
	return false
}

// inTerminal starts a command, weir or one that finds weir in its path, in a
// terminal. It returns the terminal and its screen; wait returns when the
// command has ended.
func inTerminal(t *testing.T, columns uint16, env []string, args ...string) (tty *os.File, s *screen, cmd *exec.Cmd, wait func()) {
	t.Helper()
	exe, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	weir := filepath.Join(dir, "weir") // testscript runs the command of that name
	if err := os.Symlink(exe, weir); err != nil {
		t.Fatal(err)
	}
	if args[0] != "sh" {
		args = append([]string{weir}, args...)
	}
	cmd = exec.Command(args[0], args[1:]...)
	cmd.Env = append(os.Environ(), append([]string{"TERM=xterm", "NO_COLOR=", "PATH=" + dir + ":" + os.Getenv("PATH")}, env...)...)
	tty, err = pty.StartWithSize(cmd, &pty.Winsize{Rows: 40, Cols: columns})
	if err != nil {
		t.Skip("no pseudo-terminal: ", err)
	}
	// Otherwise Close waits for the Read, and the terminal is never hung up.
	if err := syscall.SetNonblock(int(tty.Fd()), true); err != nil {
		t.Fatal(err)
	}
	s = &screen{}
	done := make(chan struct{})
	go func() {
		defer close(done)
		_, _ = io.Copy(s, tty) // ends with EIO when weir does
	}()
	t.Cleanup(func() { tty.Close() })
	return tty, s, cmd, func() {
		t.Helper()
		if err := cmd.Wait(); err != nil {
			t.Logf("weir: %v", err)
		}
		<-done
	}
}

func until(t *testing.T, what string, ok func() bool) {
	t.Helper()
	for end := time.Now().Add(20 * time.Second); !ok(); {
		if time.Now().After(end) {
			t.Fatalf("never saw %s", what)
		}
		time.Sleep(10 * time.Millisecond)
	}
}

func testFile(t *testing.T, size int) string {
	t.Helper()
	name := filepath.Join(t.TempDir(), "日本語 file.log")
	if err := os.WriteFile(name, bytes.Repeat([]byte("0123456789abcde\n"), size/16), 0o600); err != nil {
		t.Fatal(err)
	}
	return name
}

func TestLiveView_ShowsStagesTanksAndTheBottleneck(t *testing.T) {
	t.Parallel()
	name := testFile(t, 8<<20)
	_, s, _, wait := inTerminal(t, 110, nil, "pipe", name, "upper", "rate:2MiB/s", name+".out")
	wait()
	for _, re := range []string{
		`^memory ceiling `,
		`^  read  .*iB/s  (blocked|outside) \d+%`,
		`^ +\[■+ *\] +\d+% full, .*iB of 256 KiB$`,
		`^  rate .*iB/s  busy \d+%`,
		`^  \[■+ *\]  .* of 8 MiB  \d+%  [^ ]+ .iB/s  0:00:0\d  ETA `,
		`since \d+ s: .*is the bottleneck`,
		`^piped 8 MiB in `,
	} {
		if !s.seen(re) {
			t.Errorf("no line matched %s in\n%s", re, strings.Join(s.lines, "\n"))
		}
	}
	// Of the live region nothing is left.
	if rest := strings.Join(s.rows, "\n"); strings.Contains(rest, "■") || strings.Contains(rest, "ETA") {
		t.Errorf("left on the screen:\n%s", rest)
	}
	if !bytes.Contains(s.raw.Bytes(), []byte("\x1b[33m")) && !bytes.Contains(s.raw.Bytes(), []byte("\x1b[34m")) {
		t.Error("there is no colour")
	}
}

func TestLiveView_OfAFolderShowsTheFileAndHowManyAreDone(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	src := filepath.Join(dir, "src", "sub")
	if err := os.MkdirAll(src, 0o755); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"one", "two", "three\x1b[2J"} {
		if err := os.WriteFile(filepath.Join(src, name), make([]byte, 300_000), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	_, s, _, wait := inTerminal(t, 100, nil, "copy", filepath.Dir(src), filepath.Join(dir, "dst"), "--rate", "400KiB/s")
	wait()
	for _, re := range []string{`^  sub/(one|two|three\?\[2J) *$`, `^  [0-3] of 3 files  `} {
		if !s.seen(re) {
			t.Errorf("%s was not shown: %q", re, s.lines)
		}
	}
	if s.seen("walk|discard") {
		t.Errorf("the stages are shown: %q", s.lines)
	}
}

func TestLiveView_IsOneLineInANarrowTerminalAndFollowsAResize(t *testing.T) {
	t.Parallel()
	name := testFile(t, 6<<20)
	tty, s, _, wait := inTerminal(t, 40, []string{"NO_COLOR=1"}, "pipe", name, "rate:2MiB/s", name+".out")
	until(t, "the line", func() bool { return s.seen(`of 6 MiB`) })
	if s.seen(`█|▒|■`) {
		t.Error("there are bars in 40 columns")
	}
	if err := pty.Setsize(tty, &pty.Winsize{Rows: 40, Cols: 100}); err != nil {
		t.Fatal(err)
	}
	until(t, "bars", func() bool { return s.seen(`read .*(█|▒|░|·)`) })
	if err := pty.Setsize(tty, &pty.Winsize{Rows: 40, Cols: 70}); err != nil {
		t.Fatal(err)
	}
	wait()
	if bytes.Contains(s.raw.Bytes(), []byte("\x1b[3")) {
		t.Error("there is colour in spite of NO_COLOR")
	}
}

// In few columns or rows the time that is left stays.
func TestLiveView_KeepsTheTimeLeftInASmallWindow(t *testing.T) {
	t.Parallel()
	for _, size := range []pty.Winsize{{Rows: 24, Cols: 80}, {Rows: 4, Cols: 80}, {Rows: 24, Cols: 30}} {
		name := testFile(t, 8<<20)
		tty, s, _, wait := inTerminal(t, size.Cols, nil, "pipe", name, "upper", "rate:1MiB/s", "gzip", name+".out")
		if err := pty.Setsize(tty, &size); err != nil {
			t.Fatal(err)
		}
		until(t, "the time left", func() bool { return s.seen(`ETA 0:`) })
		stages := s.seen(`^  upper .*/s`)
		if small := size.Rows < 10 || size.Cols < 60; !stages && !small {
			t.Errorf("no stages in %d columns and %d rows", size.Cols, size.Rows)
		}
		fmt.Fprint(tty, "\x03")
		wait()
		for _, l := range s.lines {
			if n := columns(l); n >= int(size.Cols) && strings.Contains(l, "ETA") {
				t.Errorf("%d columns: %q", n, l)
			}
		}
	}
}

func TestTerminal_CtrlCEndsWithASummary(t *testing.T) {
	t.Parallel()
	name := testFile(t, 8<<20)
	tty, s, cmd, wait := inTerminal(t, 100, nil, "pipe", name, "rate:1MiB/s", name+".out")
	until(t, "progress", func() bool { return s.seen(`of 8 MiB`) })
	fmt.Fprint(tty, "\x03")
	wait()
	if code := cmd.ProcessState.ExitCode(); code != exitInterrupted {
		t.Errorf("exit code %d", code)
	}
	if !s.seen(`interrupted; nothing was written`) || !s.seen(`^read .* in `) {
		t.Errorf("on the screen:\n%s", strings.Join(s.lines, "\n"))
	}
	if _, err := os.Stat(name + ".out"); err == nil {
		t.Error("there is half a file")
	}
}

func TestGzip_TellsATerminalOfSuccess(t *testing.T) {
	t.Parallel()
	name := testFile(t, 1<<20)
	_, s, cmd, wait := inTerminal(t, 100, nil, "gzip", name)
	wait()
	if code := cmd.ProcessState.ExitCode(); code != exitOK || !s.seen("^compressed 1 MiB to ") || !s.seen("^bottleneck: ") {
		t.Errorf("exit code %d:\n%s", code, strings.Join(s.lines, "\n"))
	}
}

func TestGunzip_DoesNotReadFromATerminal(t *testing.T) {
	t.Parallel()
	_, s, cmd, wait := inTerminal(t, 100, nil, "gunzip")
	wait()
	if code := cmd.ProcessState.ExitCode(); code != exitUsage || !s.seen("refusing to read compressed data from the terminal") {
		t.Errorf("exit code %d:\n%s", code, strings.Join(s.lines, "\n"))
	}
}

func TestGzip_DoesNotWriteToATerminal(t *testing.T) {
	t.Parallel()
	name := testFile(t, 1<<10)
	_, s, cmd, wait := inTerminal(t, 100, nil, "gzip", "-c", name)
	wait()
	if code := cmd.ProcessState.ExitCode(); code != exitUsage || !s.seen("refusing to write binary data") {
		t.Errorf("exit code %d:\n%s", code, strings.Join(s.lines, "\n"))
	}
}

func TestTerminal_InputIsLeftToTheShell(t *testing.T) {
	t.Parallel()
	name := testFile(t, 3<<20)
	tty, s, _, wait := inTerminal(t, 100, []string{"NAME=" + name}, "sh", "-c",
		`weir pipe "$NAME" rate:2MiB/s "$NAME.out"; read line; echo "the shell got $line"`)
	until(t, "progress", func() bool { return s.seen(`of 3 MiB`) })
	fmt.Fprint(tty, "what was typed\n")
	wait()
	if !s.seen(`^the shell got what was typed`) {
		t.Errorf("on the screen:\n%s", strings.Join(s.lines, "\n"))
	}
}
