package main

import (
	"testing"

	"github.com/mattn/go-runewidth"
)

func TestStages_FitTheirColumns(t *testing.T) {
	for _, k := range stageKinds {
		if n := runewidth.StringWidth(k.name + k.args); n > 40 {
			t.Errorf("%s%s has %d columns, over 40", k.name, k.args, n)
		}
		if n := runewidth.StringWidth(k.short); n > 46 {
			t.Errorf("%s: %q has %d columns, over 46", k.name, k.short, n)
		}
	}
}
