//go:build linux || darwin

package main

import (
	"fmt"
	"strings"
	"testing"
)

func TestPassword_IsAskedForTwiceAtATerminal(t *testing.T) {
	t.Parallel()
	for again, code := range map[string]int{"sesame": exitOK, "sesami": exitSource} {
		tty, s, cmd, wait := inTerminal(t, 100, nil, "password", "ann")
		asked := func(what string) func() bool {
			return func() bool {
				s.mu.Lock()
				defer s.mu.Unlock()
				return strings.Contains(s.raw.String(), what)
			}
		}
		until(t, "the question", asked("password: "))
		fmt.Fprint(tty, "sesame\n")
		until(t, "the second question", asked("once more: "))
		fmt.Fprint(tty, again+"\n")
		wait()
		if got := cmd.ProcessState.ExitCode(); got != code || s.seen(`^ann:\$argon2id\$`) != (code == exitOK) || s.seen("the two passwords differ") == (code == exitOK) {
			t.Errorf("exit code %d:\n%s", got, strings.Join(s.lines, "\n"))
		}
	}
}
