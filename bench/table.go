package main

import (
	"bytes"
	"fmt"
	"io"
	"math"
	"os"
	"runtime"
	"runtime/debug"
	"strings"
	"text/tabwriter"
	"time"
)

// printer writes the figures, for a terminal or as Markdown.
type printer struct {
	md   bool
	w    io.Writer
	copy *printer // gets the same, if not nil
}

// head says where and how it was measured.
func (p *printer) head(e *env, rounds int) {
	if p.copy != nil {
		p.copy.head(e, rounds)
	}
	size := "full sizes"
	if e.quick {
		size = "quick sizes"
	}
	lines := []string{
		fmt.Sprintf("%s, %d cores, %s/%s, %s", cpuName(), runtime.NumCPU(), runtime.GOOS, runtime.GOARCH, runtime.Version()),
		fmt.Sprintf("%s, %d rounds, medians, %s", size, rounds, time.Now().UTC().Format("2006-01-02")),
		"peers: " + strings.Join(peerVersions(), ", "),
	}
	if l := load(); l != "" {
		lines = append(lines, "load average before the run: "+l)
	}
	for _, l := range lines {
		p.line(l)
	}
	p.line("")
}

// row writes a row and returns how its targets came out.
func (p *printer) row(r row, results []*result) []verdict {
	if p.copy != nil {
		p.copy.row(r, results)
	}
	byName := map[string]*result{}
	for _, res := range results {
		byName[res.name] = res
	}
	verdicts := check(r, byName)
	if p.md {
		p.line("### `" + r.name + "`: " + r.title + "\n")
	} else {
		p.line(r.name + ": " + r.title)
	}
	p.table(cells(r, results, byName[r.base]))
	for _, v := range verdicts {
		mark := "  "
		if p.md {
			mark = "- "
		}
		p.line(mark + fmt.Sprintf("%s; measured %s: %s", v.what, v.got, p.strong(v.word)))
	}
	for _, n := range r.notes {
		if p.md {
			n = "\n" + n
		}
		p.line(n)
	}
	p.line("")
	return verdicts
}

// cells lays a row out: one line a contender.
func cells(r row, results []*result, base *result) [][]string {
	allocs, peaks := false, false
	for _, res := range results {
		allocs = allocs || len(res.samples) > 0 && !math.IsNaN(res.median.allocs)
		peaks = peaks || res.median.peak > 0
	}
	head := []string{"how", r.unit.String(), "lowest to highest"}
	if base != nil {
		head = append(head, "÷ "+base.name)
	}
	if r.bytes > 0 {
		head = append(head, "GB/s")
	}
	if allocs {
		head = append(head, "allocations")
	}
	if peaks {
		head = append(head, "peak RSS, MiB", "stated ceiling, MiB")
	}
	out := [][]string{head}
	for _, res := range results {
		line := []string{res.name}
		if len(res.samples) == 0 {
			line = append(line, res.absent)
			for len(line) < len(head) {
				line = append(line, "")
			}
			out = append(out, line)
			continue
		}
		m := res.median
		line = append(line, r.unit.format(m.value), r.unit.format(res.low)+" to "+r.unit.format(res.high))
		if base != nil {
			line = append(line, fmt.Sprintf("%.2f", m.value/base.median.value))
		}
		if r.bytes > 0 {
			line = append(line, fmt.Sprintf("%.2f", float64(r.bytes)/m.value))
		}
		if allocs {
			line = append(line, few(m.allocs))
		}
		if peaks {
			line = append(line, mib(m.peak), mib(m.limit))
		}
		out = append(out, line)
	}
	return out
}

func few(v float64) string {
	switch {
	case math.IsNaN(v):
		return "–"
	case v < 0.001:
		return "0"
	}
	return fmt.Sprintf("%.2g", v)
}

func mib(n int64) string {
	if n == 0 {
		return "–"
	}
	return fmt.Sprintf("%.1f", float64(n)/(1<<20))
}

// verdicts writes the targets of the whole run, and how many were missed.
func (p *printer) verdicts(vs []verdict) {
	if p.copy != nil {
		p.copy.verdicts(vs)
	}
	if p.md {
		p.line("### Targets\n")
	} else {
		p.line("targets")
	}
	out := [][]string{{"row", "must reach", "measured", ""}}
	missed := 0
	for _, v := range vs {
		if v.word == "MISS" {
			missed++
		}
		out = append(out, []string{v.row, v.what, v.got, p.strong(v.word)})
	}
	p.table(out)
	p.line(fmt.Sprintf("%d targets, %d missed.", len(vs), missed))
	if crowded > 0 {
		p.line(fmt.Sprintf("%d turns began while the machine did not give all its cores.", crowded))
	}
}

func (p *printer) strong(s string) string {
	if p.md {
		return "**" + s + "**"
	}
	return s
}

func (p *printer) line(s string) {
	if p.md && s != "" && !strings.HasPrefix(s, "-") && !strings.HasPrefix(s, "#") {
		s += "  " // two spaces end the line in Markdown
	}
	fmt.Fprintln(p.w, s)
}

// escaped returns the cells of a row of Markdown, in which a bar would end a cell.
func escaped(cells []string) []string {
	safe := make([]string, len(cells))
	for i, c := range cells {
		safe[i] = strings.ReplaceAll(c, "|", `\|`)
	}
	return safe
}

// table writes rows of cells; the first is the head.
func (p *printer) table(rows [][]string) {
	if p.md {
		for i, r := range rows {
			fmt.Fprintln(p.w, "| "+strings.Join(escaped(r), " | ")+" |")
			if i == 0 {
				fmt.Fprintln(p.w, "|"+strings.Repeat("---|", len(r)))
			}
		}
		fmt.Fprintln(p.w)
		return
	}
	t := tabwriter.NewWriter(p.w, 0, 0, 2, ' ', 0)
	for _, r := range rows {
		fmt.Fprintln(t, "  "+strings.Join(r, "\t"))
	}
	t.Flush()
}

const (
	tableBegin = "<!-- table: begin -->\n"
	tableEnd   = "<!-- table: end -->"
)

// replaceTable puts text between the marks in the file called path.
func replaceTable(path, text string) error {
	old, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	before, rest, ok := bytes.Cut(old, []byte(tableBegin))
	_, after, ok2 := bytes.Cut(rest, []byte(tableEnd))
	if !ok || !ok2 {
		return fmt.Errorf("%s has no %q and %q to put the table between", path, strings.TrimSpace(tableBegin), tableEnd)
	}
	var b bytes.Buffer
	b.Write(before)
	b.WriteString(tableBegin + "\n" + text + "\n" + tableEnd)
	b.Write(after)
	return os.WriteFile(path, b.Bytes(), 0o666)
}

// peerVersions lists the peers that are linked into this program, with their
// versions.
func peerVersions() []string {
	var out []string
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return out
	}
	for _, d := range info.Deps {
		for _, peer := range []string{"samber/ro", "sourcegraph/conc", "djherbis/nio", "smallnest/ringbuffer", "klauspost/compress", "klauspost/pgzip"} {
			if strings.Contains(d.Path, peer) {
				out = append(out, peer+" "+d.Version)
			}
		}
	}
	return append(out, toolVersions()...)
}
