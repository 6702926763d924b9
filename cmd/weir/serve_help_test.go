package main

import (
	"io"
	"strings"
	"testing"

	"github.com/mattn/go-runewidth"
)

func TestServe_TextsOfHelpFitATerminal(t *testing.T) {
	t.Parallel()
	for _, c := range newRoot(io.Discard, io.Discard, io.Discard).Commands() {
		for line := range strings.Lines(c.Long) {
			if line = strings.TrimSuffix(line, "\n"); runewidth.StringWidth(line) > 82 {
				t.Errorf("%s: %q is wider than 82 columns", c.Name(), line)
			}
		}
	}
}
