package main

import (
	"fmt"
	"os"
	"slices"
	"strings"
	"sync"
	"time"
	"unicode"

	"github.com/mattn/go-runewidth"

	"github.com/weir-go/weir"
	"github.com/weir-go/weir/report"
)

// view shows the progress of a run on standard error: as a region of the terminal
// that it redraws, as plain lines, or as lines of JSON.
type view struct {
	*settings
	verb  string
	steps []*step
	began time.Time
	page  *livePage // nil without --ui
	live  *region   // nil if standard error is no terminal, or must not be one
	every time.Duration

	mu      sync.Mutex // guards the fields below: a snapshot may be asked for at any time
	current *step
	since   time.Time // when current began
	watch   *report.Watcher
	told    time.Time     // when progress was told last
	last    report.Report // the report of that progress
	speed   speed         // of current
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
	v.told, v.last = v.since, st.flow.Report()
	v.speed = speed{}
	v.speed.look(v.since, 0, 0)
	v.mu.Unlock()
	if v.every == 0 {
		return func() {}
	}
	stop, done := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(done)
		ticker := time.NewTicker(min(v.every, lookEvery))
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

// lookEvery is the time between two samples of a flow, however seldom the view prints
// them. The page and weir top sample as often, so all of them show the same verdict.
const lookEvery = 250 * time.Millisecond

// tick looks at the run, and shows where it is when it is time to.
func (v *view) tick() {
	v.mu.Lock()
	defer v.mu.Unlock()
	now, since := v.watch.Look()
	if time.Since(v.told) < v.every-lookEvery/2 {
		return
	}
	all := v.current.flow.Report()
	now.Stages, now.Wall = report.Since(all.Stages, v.last.Stages), all.Wall-v.last.Wall
	v.told, v.last = time.Now(), all
	now, all = v.current.named(now), v.current.named(all)
	switch {
	case v.json:
		v.emitProgress(now, all)
	case v.live != nil:
		v.live.draw(v.rows(now, all, since))
	default:
		fmt.Fprintln(v.stderr, v.line(all))
	}
}

// snapshot leaves the current rows on the screen. The user asks for it with a signal.
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
	for _, r := range stageRows(all, 1<<16, plain) {
		fmt.Fprintln(v.stderr, r)
	}
	fmt.Fprintln(v.stderr, "  "+all.Verdict.String())
}

// line is the progress in one line without limit.
func (v *view) line(all report.Report) string { return v.progressOf(all).text(1 << 16) }

// progressOf says how far the step is.
func (v *view) progressOf(all report.Report) progress {
	p := progress{took: time.Since(v.since), total: v.current.total()}
	p.in, p.out = v.current.bytes(all)
	p.held = all.Held
	p.inRate, p.outRate = v.speed.look(time.Now(), p.in, p.out)
	if len(v.steps) > 1 {
		p.step, p.name = fmt.Sprintf("%d/%d", len(v.done)+1, len(v.steps)), printable(v.current.src)
	}
	if v.current.tree != nil {
		t, _ := v.current.tree()
		p.files = fmt.Sprintf("%d of %d", t.Files, t.FilesFound)
		if !t.Walked {
			p.files += "+"
		}
		p.files += " files"
	}
	return p
}

// progress is how far a step is.
type progress struct {
	step, name, files string // empty where they say nothing
	in, out, held     int64  // bytes
	total             int64  // negative if it is not known
	inRate, outRate   float64
	took              time.Duration
}

// text is the progress in at most width columns, if that is possible at all. It
// leaves out decoration first, and the remaining time last.
func (p progress) text(width int) string {
	amount, part, left := weir.FormatBytes(p.in), "", ""
	if p.total > 0 {
		part = fmt.Sprintf("%d%%", min(100, 100*p.in/p.total))
		left = "ETA -"
		if d, known := timeLeft(p.total-p.in, p.inRate, p.took); known {
			left = "ETA " + clock(d)
		}
	}
	of, rate, both := amount, perSecond(p.inRate), perSecond(p.inRate)
	if p.total > 0 {
		of += " of " + weir.FormatBytes(p.total)
	}
	if differ(p.in-p.held, p.out) {
		both = perSecond(p.inRate) + " in, " + perSecond(p.outRate) + " out"
	}
	numbered := p.step
	if p.step != "" {
		numbered += " " + p.name
	}
	last := ""
	for _, parts := range [][]string{
		{numbered, p.files, of, part, both, clock(p.took), left},
		{p.step, p.files, of, part, both, clock(p.took), left},
		{p.step, p.files, of, part, both, left},
		{p.step, p.files, of, part, rate, left},
		{p.step, of, part, rate, left},
		{p.step, part, rate, left},
		{p.step, amount, left},
		{part, left},
	} {
		words := slices.DeleteFunc(parts, func(s string) bool { return s == "" })
		if len(words) == 0 {
			break
		}
		last = strings.Join(words, "  ")
		if n := runewidth.StringWidth(last); n <= width {
			if bar := p.bar(min(barWidth, width-n-4)); bar != "" && width < 1<<16 {
				return bar + "  " + last
			}
			return last
		}
	}
	return last
}

// differ reports whether the flow changes the amount of data. A small difference only
// means that some data is still in pipes.
func differ(in, out int64) bool {
	return out > 0 && (float64(out) < 0.95*float64(in) || float64(out) > 1.05*float64(in))
}

// bar shows how much of the whole job is done, if that is known and there is room.
func (p progress) bar(width int) string {
	if p.total <= 0 || width < 8 {
		return ""
	}
	n := int(float64(width) * min(1, float64(p.in)/float64(p.total)))
	return "[" + strings.Repeat("■", n) + strings.Repeat(" ", width-n) + "]"
}

// rows returns the live region: the stages with the pipes between them, the line of
// progress, and the verdict. A window that is too small gets only the line.
func (v *view) rows(now, all report.Report, since time.Time) []string {
	width := v.live.width() - 1
	p := v.progressOf(all)
	if width < 59 {
		return []string{p.text(width)}
	}
	var rows []string
	if v.current.tree != nil {
		_, file := v.current.tree()
		rows = append(rows, "  "+printable(file), "  "+p.text(width-2))
	} else {
		rows = append(stageRows(now, width, v.live.paint), "", "  "+p.text(width-2))
	}
	if time.Since(v.since) > 2*time.Second {
		s := now.Verdict.String()
		if now.Verdict != (report.Verdict{}) && !now.Verdict.Measuring {
			s = fmt.Sprintf("since %d s: %s", int(time.Since(since).Seconds()), s)
		}
		for _, row := range wrap(s, max(20, width-3)) {
			rows = append(rows, "  "+v.live.paint.bold(row))
		}
	}
	if len(rows) > height(v.live.tty)-1 {
		return []string{p.text(width)}
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
