package main

import (
	"fmt"
	"os"
	"strings"
	"sync"
	"time"
	"unicode"

	"github.com/mattn/go-runewidth"

	"github.com/weir-go/weir"
	"github.com/weir-go/weir/report"
)

// view tells the user what goes on, on standard error: a region of the terminal
// that is drawn anew, plain lines, or lines of JSON.
type view struct {
	*settings
	verb  string
	steps []*step
	began time.Time
	page  *livePage // nil without --ui
	live  *region   // nil if standard error is no terminal, or must not be one
	every time.Duration

	mu      sync.Mutex // guards what follows: a snapshot may be asked for at any time
	current *step
	since   time.Time // when current began
	watch   *report.Watcher
	speed   speed // of current
	done    []ended
	try     string // the last way out that was told
}

// ended is a step that is over.
type ended struct {
	step    *step
	report  report.Report
	took    time.Duration
	in, out int64
	failed  *failure
}

func newView(s *settings, verb string, steps []*step) *view {
	v := &view{settings: s, verb: verb, steps: steps, began: time.Now()}
	tty := isTerminal(s.stderr) && os.Getenv("TERM") != "dumb"
	switch {
	case s.quiet || s.progress == "none" || s.progress == "auto" && !s.json && !isTerminal(s.stderr):
	case s.json || s.progress == "plain" || s.progress == "auto" && !tty:
		v.every = 10 * time.Second
		if s.json {
			v.every = time.Second
		}
	default:
		v.every = 250 * time.Millisecond
		v.live = &region{out: s.stderr, paint: painter{colours(s.noColor)}}
		v.live.tty = fileOf(s.stderr)
	}
	return v
}

// ceiling is the first line of every run.
func (v *view) ceiling() {
	var most int64
	for _, st := range v.steps {
		c, _ := st.ceiling()
		most = max(most, c)
	}
	switch {
	case v.json:
		first, last := v.steps[0], v.steps[len(v.steps)-1]
		fields := map[string]any{"source": first.src, "destination": last.destination(), "sources": len(v.steps), "ceiling": most}
		if v.page != nil {
			fields["ui"] = v.page.url
		}
		v.emit("start", fields)
	case !v.quiet && v.talks():
		fmt.Fprintf(v.stderr, "memory ceiling %s\n", weir.FormatBytes(most))
	}
}

// start shows the progress of a step until the function it returns is called.
func (v *view) start(st *step) (finish func()) {
	v.mu.Lock()
	v.current, v.since, v.watch = st, time.Now(), report.Watch(st.flow.Report)
	v.speed = speed{}
	v.speed.look(v.since, 0, 0)
	v.mu.Unlock()
	if v.every == 0 {
		return func() {}
	}
	stop, done := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(done)
		ticker := time.NewTicker(v.every)
		defer ticker.Stop()
		for {
			select {
			case <-stop:
				return
			case <-ticker.C:
				v.tick()
			}
		}
	}()
	return func() {
		close(stop)
		<-done
		v.mu.Lock()
		defer v.mu.Unlock()
		if v.live != nil {
			v.live.erase()
		}
	}
}

// tick shows where the run is.
func (v *view) tick() {
	v.mu.Lock()
	defer v.mu.Unlock()
	now, since := v.watch.Look()
	now, all := v.current.named(now), v.current.named(v.current.flow.Report())
	switch {
	case v.json:
		v.emitProgress(now, all)
	case v.live != nil:
		v.live.draw(v.rows(now, all, since))
	default:
		fmt.Fprintln(v.stderr, v.line(all))
	}
}

// snapshot is what the user asks for with a signal: the rows as they are now,
// left on the screen.
func (v *view) snapshot() {
	v.mu.Lock()
	defer v.mu.Unlock()
	if v.current == nil {
		return
	}
	all := v.current.named(v.current.flow.Report())
	if v.json {
		v.emitProgress(all, all)
		return
	}
	if v.live != nil {
		v.live.erase()
	}
	plain := painter{}
	fmt.Fprintln(v.stderr, v.line(all))
	for _, r := range v.stageRows(all, plain) {
		fmt.Fprintln(v.stderr, r)
	}
	fmt.Fprintln(v.stderr, "  "+all.Verdict.String())
}

// line is the progress in one line.
func (v *view) line(all report.Report) string {
	took := time.Since(v.since)
	n, out := v.current.bytes(all)
	inRate, outRate := v.speed.look(time.Now(), n, out)
	total := v.current.total()
	s := ""
	if len(v.steps) > 1 {
		s = fmt.Sprintf("%d/%d %s  ", len(v.done)+1, len(v.steps), v.current.src)
	}
	if v.current.tree != nil {
		p, _ := v.current.tree()
		s += fmt.Sprintf("%d of %d", p.Files, p.FilesFound)
		if !p.Walked {
			s += "+"
		}
		s += " files  "
	}
	s += weir.FormatBytes(n)
	if total > 0 {
		s += fmt.Sprintf(" of %s  %d%%", weir.FormatBytes(total), 100*n/total)
	}
	s += "  " + perSecond(inRate)
	if n != out && out > 0 {
		s += " in, " + perSecond(outRate) + " out"
	}
	s += "  " + clock(took)
	if total > 0 {
		eta := "-"
		if d, known := timeLeft(total-n, inRate, took); known {
			eta = clock(d)
		}
		s += "  ETA " + eta
	}
	return s
}

// rows are the live region: stages with the pipes between them, the line, and
// who is slow.
func (v *view) rows(now, all report.Report, since time.Time) []string {
	if v.live.width() < 60 {
		return []string{v.line(all)}
	}
	var rows []string
	if v.current.tree != nil {
		_, file := v.current.tree()
		rows = append(rows, "  "+printable(file), "  "+v.line(all))
	} else {
		rows = append(v.stageRows(now, v.live.paint), "", "  "+v.line(all))
	}
	if time.Since(v.since) > 2*time.Second {
		s := now.Verdict.String()
		if now.Verdict != (report.Verdict{}) && !now.Verdict.Measuring {
			s = fmt.Sprintf("since %d s: %s", int(time.Since(since).Seconds()), s)
		}
		for _, row := range wrap(s, max(20, v.live.width()-4)) {
			rows = append(rows, "  "+v.live.paint.bold(row))
		}
	}
	return rows
}

// printable is a name without characters that would move the cursor.
func printable(name string) string {
	return strings.Map(func(r rune) rune {
		if !unicode.IsPrint(r) {
			return '?'
		}
		return r
	}, name)
}

// wrap breaks a sentence into rows of at most width columns, at spaces.
func wrap(s string, width int) (rows []string) {
	row := ""
	for _, word := range strings.Fields(s) {
		if row != "" && runewidth.StringWidth(row)+1+runewidth.StringWidth(word) > width {
			rows = append(rows, row)
			row = ""
		}
		if row != "" {
			row += " "
		}
		row += word
	}
	return append(rows, row)
}

func rate(n int64, took time.Duration) string {
	if took <= 0 {
		return "-"
	}
	return perSecond(float64(n) / took.Seconds())
}

func perSecond(n float64) string { return weir.FormatBytes(int64(n)) + "/s" }

func clock(d time.Duration) string {
	s := int(d.Seconds())
	return fmt.Sprintf("%d:%02d:%02d", s/3600, s/60%60, s%60)
}
