//go:build linux || darwin

package main

import (
	"fmt"
	"net/http"
	"regexp"
	"strings"
	"testing"
)

func TestServe_TellsATerminalOfRequestsInLinesForPeople(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	put(t, []byte("alpha"), dir, "a.txt")
	tty, s, cmd, wait := inTerminal(t, 110, nil, "serve", dir, "--listen", "127.0.0.1:0", "--max-conns", "1")
	said := func() string {
		s.mu.Lock()
		defer s.mu.Unlock()
		return strings.Join(s.lines, "\n")
	}
	address := regexp.MustCompile(`serving .* http://(127\.0\.0\.1:\d+)/`)
	until(t, "the address", func() bool { return address.MatchString(said()) })
	here := &served{addr: address.FindStringSubmatch(said())[1]}
	first := here.call(t)
	if status, body := first.got(t, "/a.txt"); status != http.StatusOK || body != "alpha" {
		t.Errorf("%d, %q", status, body)
	}
	here.call(t).got(t, "/a.txt") // one too many
	for _, line := range []string{
		`^\d\d:\d\d:\d\d  200 GET /a\.txt  5 B in [0-9.µm]+s  127\.0\.0\.1:\d+$`,
		`^\d\d:\d\d:\d\d  warn: connection refused  client=127\.0\.0\.1:\d+  reason="too many connections"$`,
	} {
		until(t, line, func() bool { return s.seen(line) })
	}
	first.Close()
	fmt.Fprint(tty, "\x03")
	wait()
	if code := cmd.ProcessState.ExitCode(); code != exitInterrupted || !s.seen(`served 5 B in 1 download, received 0 B in 0 files; peak `) {
		t.Errorf("exit code %d:\n%s", code, said())
	}
}
