package main

import (
	"cmp"
	"fmt"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/mattn/go-runewidth"
	"golang.org/x/term"

	"github.com/weir-go/weir"
	"github.com/weir-go/weir/report"
)

// colours reports whether standard error may be coloured. Colour never stands
// alone: every state has a glyph and a word too.
func colours(no bool) bool {
	if os.Getenv("CLICOLOR_FORCE") != "" && os.Getenv("CLICOLOR_FORCE") != "0" {
		return true
	}
	return !no && os.Getenv("NO_COLOR") == "" && os.Getenv("TERM") != "dumb" && term.IsTerminal(int(os.Stderr.Fd()))
}

// painter adds colour, or leaves it out.
type painter struct{ on bool }

func (p painter) sgr(code, s string) string {
	if !p.on || s == "" {
		return s
	}
	return "\x1b[" + code + "m" + s + "\x1b[0m"
}

func (p painter) bold(s string) string { return p.sgr("1", s) }

// stateLook is how a state is shown.
type stateLook struct {
	word, glyph, colour string
	of                  func(report.StageStats) time.Duration
}

var looks = []stateLook{
	{"busy", "█", "33", func(s report.StageStats) time.Duration { return s.Busy }},
	{"outside", "░", "90", func(s report.StageStats) time.Duration { return s.Outside }},
	{"unknown", "?", "35", func(s report.StageStats) time.Duration { return s.Unknown }},
	{"blocked", "▒", "34", func(s report.StageStats) time.Duration { return s.Blocked }},
	{"starved", "·", "36", func(s report.StageStats) time.Duration { return s.Starved }},
}

const barWidth = 20

// stageRows draws each stage, and each pipe between two of them as a tank, in
// width columns. Where these are too few, bars become shorter and go, and states
// that take little time are cut off: names, rates and the states that matter stay.
func stageRows(r report.Report, width int, p painter) []string {
	name, longest := 5, 0
	for _, s := range r.Stages {
		name = max(name, min(14, runewidth.StringWidth(s.Name)))
		longest = max(longest, runewidth.StringWidth(states(s)))
	}
	wide := min(barWidth, width-2-name-2-rateWidth-2-longest)
	if wide < 5 {
		wide = 0
	}
	var rows []string
	for i, s := range r.Stages {
		row := "  " + runewidth.FillRight(runewidth.Truncate(s.Name, name, "…"), name) + " "
		if wide > 0 {
			row += bar(s, wide, p) + " "
		}
		rows = append(rows, fmt.Sprintf("%s%*s  %s", row, rateWidth, throughput(s, r.Wall), states(s)))
		if i+1 == len(r.Stages) {
			break
		}
		for _, pipe := range r.Pipes {
			if pipe.Name == s.Name+" → "+r.Stages[i+1].Name {
				rows = append(rows, strings.Repeat(" ", name+3)+tank(pipe))
			}
		}
	}
	return rows
}

// bar shows the states of a stage in so many columns.
func bar(s report.StageStats, width int, p painter) string {
	var b strings.Builder
	left := width
	for i, l := range looks {
		n := min(left, int(s.Share(l.of(s))*float64(width)+0.5))
		if i == len(looks)-1 {
			n = left
		}
		b.WriteString(p.sgr(l.colour, strings.Repeat(l.glyph, n)))
		left -= n
	}
	return b.String()
}

// states puts the bar into words, the longest state first.
func states(s report.StageStats) string {
	sorted := slices.Clone(looks)
	slices.SortStableFunc(sorted, func(a, b stateLook) int { return cmp.Compare(b.of(s), a.of(s)) })
	var words []string
	for _, l := range sorted {
		if n := int(100*s.Share(l.of(s)) + 0.5); n > 0 {
			words = append(words, fmt.Sprintf("%s %d%%", l.word, n))
		}
	}
	return strings.Join(words, "  ")
}

// rateWidth is how many columns a rate takes: 1023.9 KiB/s.
const rateWidth = 12

// throughput is the rate of the stage, in its own unit per second.
func throughput(s report.StageStats, took time.Duration) string {
	n, unit := s.Out, s.OutUnit
	if s.Kind == report.KindSink {
		n, unit = s.In, s.Unit
	}
	switch {
	case took <= 0:
		return "-"
	case unit == "bytes":
		return rate(n, took)
	}
	return fmt.Sprintf("%.0f %s/s", float64(n)/took.Seconds(), unit)
}

// tank shows how full a pipe is.
func tank(p report.PipeStats) string {
	const width = 10
	fill, held := 0.0, weir.FormatBytes(p.Bytes)
	if p.LimitBytes > 0 {
		fill = min(1, float64(p.Bytes)/float64(p.LimitBytes))
		held += " of " + weir.FormatBytes(p.LimitBytes)
	}
	if p.LimitItems > 0 {
		fill = max(fill, min(1, float64(p.Items)/float64(p.LimitItems)))
	}
	n := int(fill*width + 0.5)
	return fmt.Sprintf("[%s%s] %3.0f%% full, %s", strings.Repeat("■", n), strings.Repeat(" ", width-n), 100*fill, held)
}
