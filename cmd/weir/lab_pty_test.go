//go:build linux || darwin

package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestLab_PlotsWhileItRunsOnATerminal(t *testing.T) {
	t.Parallel()
	page := filepath.Join(t.TempDir(), "page.html")
	_, s, cmd, wait := inTerminal(t, 80, nil, "lab", "transform", "--size", "6MiB", "--rate", "4MiB", "--report", page)
	wait()
	if code := cmd.ProcessState.ExitCode(); code != exitOK {
		t.Errorf("exit code %d", code)
	}
	for _, want := range []string{
		`^  A naive  \d s of 8s  memory \d.* MiB  \d.* made`, // only while it runs
		`^  B weir   ?\d s of 8s  memory \d.* MiB`,
		`^ +[0-9.]+ MiB \|A+`,
		`^ +\| *B+`,
		`^  peak memory  `,
		`^report +/.*page.html`,
	} {
		if !s.seen(want) {
			t.Errorf("never on the screen: %s", want)
		}
	}
	for _, row := range s.rows { // what stays; sentences are wrapped by the terminal
		if strings.HasPrefix(row, "  ") && len(row) > 80 {
			t.Errorf("wider than the terminal: %s", row)
		}
	}
	if _, err := os.Stat(page); err != nil {
		t.Error(err)
	}
}
