package main

import (
	"fmt"
	"os"
	"path"
	"slices"
	"strings"
	"time"

	"github.com/mattn/go-runewidth"

	"github.com/weir-go/weir/internal/procpipe"
	"github.com/weir-go/weir/report"
)

// titleWidth is how many columns the name of a process takes at most.
const titleWidth = 32

// title is how a process is called: its command and the arguments that fit.
func title(p *procpipe.Process) string {
	if len(p.Args) == 0 {
		return runewidth.Truncate(printable(p.Command), titleWidth, "…")
	}
	words := []string{strings.TrimPrefix(path.Base(p.Args[0]), "-")} // a login shell has the dash
	for _, a := range discreetArgs(p.Args)[1:] {
		above := ""
		if dir, base := path.Split(a); len(a) > titleWidth/2 && path.IsAbs(a) && base != "" && dir != "/" {
			above, a = "…/", base
		}
		words = append(words, above+quoted(printable(a)))
	}
	words[0] = printable(words[0])
	return runewidth.Truncate(strings.Join(words, " "), titleWidth, "…")
}

// titles gives each process of a pipeline a different name.
func titles(l *procpipe.Pipeline) []string {
	count := map[string]int{}
	var names []string
	for _, p := range l.Processes {
		name := title(p)
		names = append(names, name)
		count[name]++
	}
	for i, p := range l.Processes {
		if count[names[i]] > 1 {
			names[i] = fmt.Sprintf("%s [%d]", names[i], p.PID)
		}
	}
	return names
}

// rows are the sentence and a table of the processes.
func (f *finding) rows(sentence string, width int, p painter) (rows []string) {
	width--
	for _, r := range wrap(sentence, max(20, width)) {
		rows = append(rows, p.bold(r))
	}
	if width < 59 {
		return rows
	}
	showUnknown := false
	for i, t := range f.times {
		showUnknown = showUnknown || f.share(i, t.Unknown) >= 0.005
	}
	name := width - 2 - 8 - 1 - 29 - 2 - 15
	if showUnknown {
		name -= 8
	}
	branches := f.branches()
	if branches {
		name -= 8 // each pipe says where it leads
	}
	name = max(8, min(name, titleWidth+10))
	head := fmt.Sprintf("  %7s %s  busy blocked starved outside", "PID", runewidth.FillRight("process", name))
	if showUnknown {
		head += " unknown"
	}
	head += "  output pipe"
	if branches {
		head += "     reader"
	}
	rows = append(rows, "", head)
	for i, t := range f.times {
		mark := "  "
		if i == f.at {
			mark = "> "
		}
		row := fmt.Sprintf("%s%7d %s  %s %s %s %s", mark, f.line.Processes[i].PID,
			runewidth.FillRight(runewidth.Truncate(f.names[i], name, "…"), name),
			f.percent(i, t.Busy, 4), f.percent(i, t.Blocked, 7), f.percent(i, t.Starved, 7), f.percent(i, t.Outside, 7))
		if showUnknown {
			row += " " + f.percent(i, t.Unknown, 7)
		}
		if t.Ended {
			row += "  ended"
		} else if bars := f.bars(i, branches); len(bars) > 0 {
			row += "  " + bars[0]
			indent := strings.Repeat(" ", runewidth.StringWidth(row)-runewidth.StringWidth(bars[0]))
			for _, b := range bars[1:] {
				row += "\n" + indent + b
			}
		}
		for i, r := range strings.Split(row, "\n") {
			if mark == "> " && i == 0 {
				r = p.bold(r)
			}
			rows = append(rows, r)
		}
		rows = append(rows, f.stageRows(i, name, showUnknown)...)
	}
	for _, note := range f.notes() {
		for _, r := range wrap(note, width-2) {
			rows = append(rows, "  "+r)
		}
	}
	return rows
}

// stageRows are the stages of a process of weir, below it.
func (f *finding) stageRows(i, name int, showUnknown bool) (rows []string) {
	if f.exact == nil {
		return nil
	}
	for _, s := range f.exact[i] {
		mark := "  "
		if i == f.at && fmt.Sprintf("%s (%s)", s.Name, f.names[i]) == f.verdict.Stage {
			mark = "> "
		}
		row := fmt.Sprintf("%s%7s %s ", mark, "", runewidth.FillRight(runewidth.Truncate("  "+printable(s.Name), name, "…"), name))
		for _, c := range []struct {
			d     time.Duration
			width int
		}{{s.Busy, 4}, {s.Blocked, 7}, {s.Starved, 7}, {s.Outside, 7}} {
			row += fmt.Sprintf(" %*s", c.width, fmt.Sprintf("%.0f%%", 100*s.Share(c.d)))
		}
		if showUnknown {
			row += fmt.Sprintf(" %7s", fmt.Sprintf("%.0f%%", 100*s.Share(s.Unknown)))
		}
		rows = append(rows, row)
	}
	return rows
}

func (f *finding) percent(i int, d time.Duration, width int) string {
	if f.times[i].Wall <= 0 {
		return fmt.Sprintf("%*s", width, "-")
	}
	return fmt.Sprintf("%*s", width, fmt.Sprintf("%.0f%%", 100*f.share(i, d)))
}

// branches reports whether a process writes to several pipes.
func (f *finding) branches() bool {
	writes := make([]int, len(f.times))
	for _, p := range f.line.Pipes {
		for _, from := range p.From {
			writes[from]++
		}
	}
	return slices.Max(writes) > 1
}

// bars are the pipes that a process writes to, and if asked for, the processes that read them.
func (f *finding) bars(i int, readers bool) (list []string) {
	const width = 8
	for n, p := range f.line.Pipes {
		if !slices.Contains(p.From, i) {
			continue
		}
		bar := "[   ?    ]     "
		if mean := f.levels[n].Mean(); f.levels[n].Looks > 0 {
			full := int(mean*width + 0.5)
			bar = fmt.Sprintf("[%s%s] %3.0f%%", strings.Repeat("#", full), strings.Repeat("-", width-full), 100*mean)
		}
		if readers {
			bar += fmt.Sprintf(" %7d", f.line.Processes[p.To[0]].PID)
			if len(p.To) > 1 {
				bar += "…"
			}
		}
		list = append(list, bar)
	}
	return list
}

// notes are the remarks that do not fit into the table.
func (f *finding) notes() (list []string) {
	for i, p := range f.line.Processes {
		if f.times[i].Stopped {
			list = append(list, fmt.Sprintf("%s (pid %d) is stopped, as by Ctrl-Z; continue it with fg, or kill -CONT %d.", f.names[i], p.PID, p.PID))
		}
		if !p.Hidden {
			continue
		}
		why := "belongs to another user"
		if p.UID == os.Geteuid() || p.UID == 0 {
			why = "is protected or belongs to another user"
		}
		list = append(list, fmt.Sprintf("weir may not read %s (pid %d): it %s. Its place is a guess, and its times come from the pipes beside it.", f.names[i], p.PID, why))
	}
	return list
}

// json is the finding as JSON. help/json.md describes it.
func (f *finding) json(samples int) map[string]any {
	pids := func(list []int) (pids []int) {
		for _, i := range list {
			pids = append(pids, f.line.Processes[i].PID)
		}
		return pids
	}
	processes, pipes := []map[string]any{}, []map[string]any{}
	for i, p := range f.line.Processes {
		t := f.times[i]
		args := []string{}
		for _, a := range discreetArgs(p.Args) {
			args = append(args, strings.ToValidUTF8(a, "\ufffd"))
		}
		process := map[string]any{
			"pid": p.PID, "name": f.names[i], "args": args, "readable": !p.Hidden, "ended": t.Ended, "stopped": t.Stopped,
			"busy": f.share(i, t.Busy), "blocked": f.share(i, t.Blocked), "starved": f.share(i, t.Starved),
			"outside": f.share(i, t.Outside), "unknown": f.share(i, t.Unknown), "cpu_seconds": t.CPU.Seconds(),
		}
		if f.exact != nil && f.exact[i] != nil {
			process["stages"] = stagesJSON(report.Report{Stages: f.exact[i]})
		}
		processes = append(processes, process)
	}
	for i, p := range f.line.Pipes {
		m := map[string]any{"from": pids(p.From), "to": pids(p.To)}
		if l := f.levels[i]; l.Looks > 0 {
			m["bytes"], m["size"], m["fill"] = l.Last.Bytes, l.Last.Size, l.Mean()
		}
		pipes = append(pipes, m)
	}
	b := bottleneck(f.verdict)
	b["sentence"] = f.sentence()
	if f.at >= 0 {
		b["pid"] = f.line.Processes[f.at].PID
	}
	if f.waiting >= 0 && f.verdict.Stage != "" {
		b["waiting"] = map[string]any{"stage": f.verdict.Waiting, "pid": f.line.Processes[f.waiting].PID, "share": f.verdict.WaitingShare}
	}
	return map[string]any{"seconds": f.window.Seconds(), "samples": samples, "bottleneck": b, "processes": processes, "pipes": pipes}
}
