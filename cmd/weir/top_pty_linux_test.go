package main

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/creack/pty"
	"golang.org/x/sys/unix"
)

// termiosOf is how the terminal is set.
func termiosOf(t *testing.T, tty *os.File) unix.Termios {
	t.Helper()
	var got *unix.Termios
	control(tty, func(fd int) { got, _ = unix.IoctlGetTermios(fd, unix.TCGETS) })
	if got == nil {
		t.Fatal("no terminal")
	}
	return *got
}

// shows reports whether the screen shows the text now.
func (s *screen) shows(text string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return strings.Contains(strings.Join(s.rows, "\n"), text)
}

func TestTop_InATerminalShowsRunsUntilQIsPressed(t *testing.T) {
	t.Parallel()
	dir := ownFolder(t)
	begin := func(args ...string) *exec.Cmd {
		cmd := weirWith(dir, append([]string{"pipe", "/dev/zero"}, append(args, "/dev/null", "-q")...)...)
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = cmd.Process.Kill(); _ = cmd.Wait() })
		return cmd
	}
	tty, s, ran, wait := inTerminal(t, 80, []string{socketVariable + "=" + dir, "NO_COLOR=1"}, "top")
	until(t, "an empty view", func() bool { return s.shows("no weir of yours is running") && s.shows("q quits") })
	slow := begin("rate:1MiB/s")
	until(t, "the run and its verdict", func() bool {
		return s.shows(fmt.Sprintf("> %7d weir pipe /dev/zero rate:1MiB…", slow.Process.Pid)) && s.shows("the rate limit (rate) is the bottleneck: ")
	})
	other := begin("upper", "rate:2MiB/s")
	until(t, "both", func() bool {
		return s.shows("weir top: 2 commands") && s.shows(fmt.Sprintf("  %7d weir pipe /dev/zero upper", other.Process.Pid))
	})
	fmt.Fprint(tty, "\x1b[B")
	until(t, "the other one chosen", func() bool { return s.shows(fmt.Sprintf("> %7d", other.Process.Pid)) && s.shows("\n  upper ") })
	fmt.Fprint(tty, "k")
	until(t, "the first one again", func() bool { return s.shows(fmt.Sprintf("> %7d", slow.Process.Pid)) && !s.shows("\n  upper ") })
	fmt.Fprint(tty, "s")
	until(t, "another order", func() bool { return s.shows("s sort: rate") })
	fmt.Fprint(tty, "/UPPERx")
	until(t, "what is typed", func() bool { return s.shows("filter: UPPERx_") })
	fmt.Fprint(tty, "\x7f\r")
	until(t, "what it leaves", func() bool { return s.shows("weir top: 1 command") && s.shows("(only UPPER)") })
	fmt.Fprint(tty, "\x1b")
	until(t, "all again", func() bool { return s.shows("weir top: 2 commands") })
	// A small window has one line, and a large one all again.
	if err := pty.Setsize(tty, &pty.Winsize{Rows: 4, Cols: 80}); err != nil {
		t.Fatal(err)
	}
	until(t, "one line", func() bool { return s.shows("pushing back: the rate limit") && !s.shows("q quits") })
	if err := pty.Setsize(tty, &pty.Winsize{Rows: 40, Cols: 80}); err != nil {
		t.Fatal(err)
	}
	until(t, "all of it", func() bool { return s.shows("q quits") })
	_ = slow.Process.Kill()
	_ = slow.Wait()
	until(t, "the end of one", func() bool { return s.shows("weir top: 1 command") })
	fmt.Fprint(tty, "q")
	wait()
	if code := ran.ProcessState.ExitCode(); code != exitOK {
		t.Errorf("exit code %d", code)
	}
	for _, l := range s.lines {
		if n := columns(l); n > 79 {
			t.Errorf("%d columns: %q", n, l)
		}
	}
	if raw := s.raw.Bytes(); regexp.MustCompile(`\x1b\[(3\dm|\?)`).Match(raw) {
		t.Error("there is colour in spite of NO_COLOR, or another mode of the terminal")
	}
}

// However it ends, the terminal is as it was.
func TestTop_GivesTheTerminalBack(t *testing.T) {
	t.Parallel()
	for _, keys := range []string{"q", "\x03"} {
		tty, s, shell, _ := inTerminal(t, 80, []string{socketVariable + "=" + ownFolder(t)}, "sh", "-c", "read go; weir top; echo code $?; read line")
		before := termiosOf(t, tty)
		fmt.Fprintln(tty) // only now does it start, and change the terminal
		until(t, "the view", func() bool { return s.shows("q quits") })
		until(t, "single keys", func() bool { return termiosOf(t, tty).Lflag&(unix.ICANON|unix.ECHO) == 0 })
		fmt.Fprint(tty, keys)
		until(t, "the terminal as it was", func() bool { return termiosOf(t, tty) == before })
		_ = shell.Process.Kill() // it may have ended
		_ = shell.Wait()
	}
}

func TestTop_ShowsTheStagesOfATransferThatIsChosen(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	for _, name := range []string{"film.mkv", "song.flac"} {
		if err := os.WriteFile(filepath.Join(dir, name), noise(64<<20), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	srv := startServe(t, dir)
	for _, name := range []string{"film.mkv", "song.flac"} {
		slow := getFrom(t, srv.url+name) // and takes nothing of it
		defer slow.Body.Close()
	}
	tty, s, ran, wait := inTerminal(t, 80, nil, "top", srv.url, "--sort", "name")
	until(t, "the transfers", func() bool { return s.shows("film.mkv") && s.shows("song.flac") && s.shows("wait: client") })
	until(t, "the stages of the first", func() bool {
		return s.shows("> 127.0.0.1       film") && s.shows("the chosen transfer: the destination is the bottleneck")
	})
	fmt.Fprint(tty, "\x1b[B")
	until(t, "the second chosen", func() bool { return s.shows("> 127.0.0.1       song") })
	fmt.Fprint(tty, "/film\r")
	until(t, "what the filter leaves", func() bool { return !s.shows("song.flac") && s.shows(`1 transfer with "film" in their line`) })
	fmt.Fprint(tty, "q")
	wait()
	if code := ran.ProcessState.ExitCode(); code != exitOK {
		t.Errorf("exit code %d", code)
	}
}
