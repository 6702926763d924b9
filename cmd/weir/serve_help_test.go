package main

import (
	"io"
	"strings"
	"testing"

	"github.com/mattn/go-runewidth"
)

func TestTheTextOfServeFitsATerminal(t *testing.T) {
	for line := range strings.Lines(newServe(io.Discard, io.Discard).Long) {
		if line = strings.TrimSuffix(line, "\n"); runewidth.StringWidth(line) > 80 {
			t.Errorf("%q is wider than 80 columns", line)
		}
	}
}
