package main

import (
	"encoding/json"
	"fmt"
	"os"
	"strings"
	"time"

	"golang.org/x/term"

	"github.com/weir-go/weir"
)

// display tells the user what goes on, on standard error.
type display struct {
	j     *job
	live  bool
	plain bool
	lines int // of the live region, on the screen now
	stop  chan struct{}
	done  chan struct{}
}

func newDisplay(j *job) *display {
	d := &display{j: j, stop: make(chan struct{}), done: make(chan struct{})}
	f, isFile := j.stderr.(*os.File)
	tty := isFile && term.IsTerminal(int(f.Fd())) && os.Getenv("TERM") != "dumb"
	switch j.progress {
	case "live":
		d.live = true
	case "plain":
		d.plain = true
	case "auto":
		d.live, d.plain = tty, !tty
	}
	if j.quiet || j.json {
		d.live = false
		d.plain = d.plain && j.json
	}
	return d
}

// ceiling is the first line of every run.
func (d *display) ceiling() {
	c, _ := d.j.flow.Ceiling()
	switch {
	case d.j.json:
		d.emit("start", map[string]any{"source": d.j.src, "destination": d.j.dst, "ceiling": c})
	case !d.j.quiet:
		fmt.Fprintf(d.j.stderr, "memory ceiling %s\n", weir.FormatBytes(c))
	}
}

// start shows progress until the function it returns is called.
func (d *display) start() (finish func()) {
	if !d.live && !d.plain {
		return func() {}
	}
	every := 10 * time.Second
	if d.live {
		every = 250 * time.Millisecond
	}
	begin := time.Now()
	go func() {
		defer close(d.done)
		ticker := time.NewTicker(every)
		defer ticker.Stop()
		w := d.j.flow.Watch()
		for {
			select {
			case <-d.stop:
				d.erase()
				return
			case <-ticker.C:
			}
			r, since := w.Look()
			total := d.j.flow.Stats()
			switch {
			case d.j.json:
				d.emit("progress", map[string]any{"bytes_in": read(total), "bytes_out": written(total), "total": d.j.size,
					"seconds": time.Since(begin).Seconds(), "held": total.Held, "bottleneck": bottleneck(r.Verdict)})
			case d.live:
				d.redraw(r, total, time.Since(begin), since)
			default:
				fmt.Fprintln(d.j.stderr, d.line(total, time.Since(begin)))
			}
		}
	}()
	return func() {
		close(d.stop)
		<-d.done
	}
}

// line is the progress in one line.
func (d *display) line(r weir.Report, took time.Duration) string {
	n := read(r)
	s := weir.FormatBytes(n)
	if d.j.size > 0 {
		s += fmt.Sprintf(" of %s  %d%%", weir.FormatBytes(d.j.size), 100*n/d.j.size)
	}
	s += fmt.Sprintf("  %s  %s", rate(n, took), clock(took))
	if d.j.size > 0 {
		eta := "-"
		if took > 3*time.Second && n > 0 {
			eta = clock(time.Duration(float64(took) * float64(max(0, d.j.size-n)) / float64(n)))
		}
		s += "  ETA " + eta
	}
	return s
}

// redraw replaces the live region: a bar for each stage, the line, and who is
// slow.
func (d *display) redraw(span, total weir.Report, took time.Duration, since time.Time) {
	var rows []string
	for _, s := range span.Stages {
		rows = append(rows, fmt.Sprintf("  %-12s %s  %s", cut(s.Name, 12), bar(s), percent(s)))
	}
	rows = append(rows, "  "+d.line(total, took))
	if took > 2*time.Second {
		v := span.Verdict.String()
		if span.Verdict.Stage != "" {
			v += fmt.Sprintf(" (since %d s)", int(time.Since(since).Seconds()))
		}
		rows = append(rows, "  "+v)
	}
	width := 80
	if f, ok := d.j.stderr.(*os.File); ok {
		if w, _, err := term.GetSize(int(f.Fd())); err == nil && w > 10 {
			width = w
		}
	}
	if width < 60 {
		rows = []string{d.line(total, took)}
	}
	var b strings.Builder
	d.up(&b)
	for _, r := range rows {
		b.WriteString(cut(r, width-1) + "\x1b[K\n")
	}
	b.WriteString("\x1b[J")
	d.lines = len(rows)
	fmt.Fprint(d.j.stderr, b.String())
}

func (d *display) up(b *strings.Builder) {
	if d.lines > 0 {
		fmt.Fprintf(b, "\x1b[%dA\r", d.lines)
	}
}

func (d *display) erase() {
	if d.lines > 0 {
		var b strings.Builder
		d.up(&b)
		fmt.Fprint(d.j.stderr, b.String()+"\x1b[J")
		d.lines = 0
	}
}

// bar shows the four states of a stage in 20 characters.
func bar(s weir.StageStats) string {
	const width = 20
	var b strings.Builder
	n := 0
	for _, p := range []struct {
		d time.Duration
		r rune
	}{{s.Busy, '█'}, {s.Outside, '░'}, {s.Blocked, '▒'}, {s.Starved, '·'}} {
		for k := int(s.Share(p.d)*width + 0.5); k > 0 && n < width; k-- {
			b.WriteRune(p.r)
			n++
		}
	}
	for ; n < width; n++ {
		b.WriteRune('·')
	}
	return b.String()
}

// percent names the state the stage is in most of the time.
func percent(s weir.StageStats) string {
	name, most := "busy", s.Busy
	for _, p := range []struct {
		name string
		d    time.Duration
	}{{"outside", s.Outside}, {"blocked", s.Blocked}, {"starved", s.Starved}} {
		if p.d > most {
			name, most = p.name, p.d
		}
	}
	return fmt.Sprintf("%-7s %3.0f%%  %s", name, 100*s.Share(most), moved(s))
}

// moved is what went through the stage, in its own unit.
func moved(s weir.StageStats) string {
	n, unit := s.Out, s.OutUnit
	if s.Kind == weir.KindSink {
		n, unit = s.In, s.Unit
	}
	if unit == "bytes" {
		return weir.FormatBytes(n)
	}
	return fmt.Sprint(n, " ", unit)
}

// cut shortens s to n characters.
func cut(s string, n int) string {
	if r := []rune(s); len(r) > n {
		return string(r[:n-1]) + "…"
	}
	return s
}

// summary is what is left on the screen.
func (d *display) summary(r weir.Report, took time.Duration, f *failure) {
	in, out, peak := read(r), written(r), peakMemory()
	if d.j.json {
		if f != nil {
			d.emit("error", map[string]any{"text": f.text, "try": f.try, "code": f.code})
			f.told = true
		}
		d.emit("summary", map[string]any{"ok": f == nil, "bytes_in": in, "bytes_out": out, "seconds": took.Seconds(),
			"sums": d.j.sums, "stages": stagesJSON(r), "bottleneck": bottleneck(r.Verdict),
			"memory": map[string]any{"ceiling": r.Ceiling, "peak": r.Peak, "process": peak}})
		return
	}
	if d.j.quiet || f != nil && in == 0 && out == 0 {
		return
	}
	verb := d.j.verb
	if f != nil {
		verb = "read"
	}
	w := d.j.stderr
	fmt.Fprintf(w, "%s %s", verb, weir.FormatBytes(in))
	if out != in && f == nil {
		fmt.Fprintf(w, " to %s", weir.FormatBytes(out))
		if in > 0 {
			fmt.Fprintf(w, " (%.1f%%)", 100*float64(out)/float64(in))
		}
	}
	fmt.Fprintf(w, " in %v, %s\n", took.Round(time.Millisecond), rate(in, took))
	for _, s := range d.j.sums {
		fmt.Fprintln(w, s)
	}
	fmt.Fprintln(w, "bottleneck:", r.Verdict)
	fmt.Fprintf(w, "memory: %s in pipes at the peak, ceiling %s", weir.FormatBytes(r.Peak), weir.FormatBytes(r.Ceiling))
	if peak > 0 {
		fmt.Fprintf(w, ", process peak %s", weir.FormatBytes(peak))
	}
	fmt.Fprintln(w)
}

// emit writes one line of JSON.
func (d *display) emit(kind string, fields map[string]any) {
	line := map[string]any{"v": 1, "type": kind}
	for k, v := range fields {
		line[k] = v
	}
	text, err := json.Marshal(line)
	if err != nil {
		d.j.warn("%v", err)
		return
	}
	fmt.Fprintf(d.j.stderr, "%s\n", text)
}

func bottleneck(v weir.Verdict) map[string]any {
	m := map[string]any{"sentence": v.String()}
	if v.Stage != "" {
		m["stage"], m["why"], m["share"] = v.Stage, v.Why, v.Share
	}
	return m
}

func stagesJSON(r weir.Report) (list []map[string]any) {
	for _, s := range r.Stages {
		list = append(list, map[string]any{"name": s.Name, "kind": s.Kind, "workers": s.Workers, "in": s.In, "out": s.Out,
			"busy": s.Share(s.Busy), "blocked": s.Share(s.Blocked), "starved": s.Share(s.Starved), "outside": s.Share(s.Outside),
			"blocked_events": s.BlockedN})
	}
	return list
}

func read(r weir.Report) int64 {
	if len(r.Stages) == 0 {
		return 0
	}
	return r.Stages[0].Out
}

func written(r weir.Report) int64 {
	if len(r.Stages) == 0 {
		return 0
	}
	return r.Stages[len(r.Stages)-1].In
}

func rate(n int64, took time.Duration) string {
	if took <= 0 {
		return "-"
	}
	return weir.FormatBytes(int64(float64(n)/took.Seconds())) + "/s"
}

func clock(d time.Duration) string {
	s := int(d.Seconds())
	return fmt.Sprintf("%d:%02d:%02d", s/3600, s/60%60, s%60)
}
