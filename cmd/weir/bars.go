package main

import (
	"fmt"
	"os"
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

// looks says how each state is shown.
var looks = []struct {
	word, glyph, colour string
	of                  func(report.StageStats) time.Duration
}{
	{"busy", "█", "33", func(s report.StageStats) time.Duration { return s.Busy }},
	{"outside", "░", "90", func(s report.StageStats) time.Duration { return s.Outside }},
	{"unknown", "?", "35", func(s report.StageStats) time.Duration { return s.Unknown }},
	{"blocked", "▒", "34", func(s report.StageStats) time.Duration { return s.Blocked }},
	{"starved", "·", "36", func(s report.StageStats) time.Duration { return s.Starved }},
}

const barWidth = 20

// stageRows draws each stage, and each pipe between two of them as a tank.
func (v *view) stageRows(r report.Report, p painter) []string {
	name := 5
	for _, s := range r.Stages {
		name = max(name, min(14, runewidth.StringWidth(s.Name)))
	}
	var rows []string
	for i, s := range r.Stages {
		rows = append(rows, "  "+runewidth.FillRight(runewidth.Truncate(s.Name, name, "…"), name)+" "+bar(s, p)+"  "+states(s)+moved(s))
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

// bar shows the states of a stage.
func bar(s report.StageStats, p painter) string {
	var b strings.Builder
	left := barWidth
	for i, l := range looks {
		n := min(left, int(s.Share(l.of(s))*barWidth+0.5))
		if i == len(looks)-1 {
			n = left
		}
		b.WriteString(p.sgr(l.colour, strings.Repeat(l.glyph, n)))
		left -= n
	}
	return b.String()
}

// states says in words what the bar shows.
func states(s report.StageStats) string {
	text := ""
	for _, l := range looks {
		if n := int(100*s.Share(l.of(s)) + 0.5); n > 0 {
			text += fmt.Sprintf("%s %d%%  ", l.word, n)
		}
	}
	return text
}

// moved is what went through the stage, in its own unit.
func moved(s report.StageStats) string {
	n, unit := s.Out, s.OutUnit
	if s.Kind == report.KindSink {
		n, unit = s.In, s.Unit
	}
	if unit == "bytes" {
		return weir.FormatBytes(n)
	}
	return fmt.Sprint(n, " ", unit)
}

// tank shows how full a pipe is.
func tank(p report.PipeStats) string {
	const width = 10
	fill := 0.0
	if p.LimitBytes > 0 {
		fill = min(1, float64(p.Bytes)/float64(p.LimitBytes))
	}
	n := int(fill*width + 0.5)
	return fmt.Sprintf("[%s%s] %3.0f%%  %s", strings.Repeat("■", n), strings.Repeat(" ", width-n), 100*fill, weir.FormatBytes(p.Bytes))
}
