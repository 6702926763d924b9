package lab

import (
	"cmp"
	"fmt"
	"math"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/weir-go/weir/internal/markup"
)

// A Result is one round of an experiment: each side with the same settings.
type Result struct {
	Experiment string   `json:"experiment"`
	Setup      string   `json:"setup"`
	Stated     string   `json:"stated"` // the parts of weir's ceiling
	Settings   Settings `json:"settings"`
	Sides      []*Side  `json:"sides"`
	Checks     []Check  `json:"checks"`

	ReadLabel string `json:"read_label"`
	SentLabel string `json:"sent_label"`
	Guard     int64  `json:"guard"` // bytes

	load load
}

// OK reports whether weir kept everything that it states.
func (r *Result) OK() bool {
	for _, c := range r.Checks {
		if !c.OK {
			return false
		}
	}
	return true
}

// check compares the limits that weir states with the measurements.
func (r *Result) check() {
	b := r.Sides[1]
	r.Checks = append(r.Checks, Check{What: "memory in weir's buffers", Limit: b.Ceiling, Value: b.Held, OK: b.Held <= b.Ceiling})
	if b.Peak != unmeasured {
		grown := b.Peak - b.Idle
		r.Checks = append(r.Checks, Check{What: "growth of weir's resident memory", Limit: b.Ceiling + Headroom, Value: grown, OK: grown <= b.Ceiling+Headroom})
	}
	if r.load == loadAbort && b.FilesLeft != unmeasured {
		left := max(0, b.FilesLeft-b.FilesIdle)
		r.Checks = append(r.Checks, Check{What: "descriptors that weir left open", Limit: spareFiles, Value: left, OK: left <= spareFiles, count: true})
	}
}

// A Side has the measurements of one process. A value of -1 was not measured.
type Side struct {
	Letter string `json:"side"` // A, B, and C and D in JavaScript
	Label  string `json:"label"`
	Does   string `json:"does"`

	Ceiling int64 `json:"ceiling"` // bytes that it states to hold at most; 0: it states none
	Held    int64 `json:"held"`    // the most that it has held, by its own account

	Idle   int64 `json:"resident_idle"` // bytes, before the load
	Peak   int64 `json:"resident_peak"`
	Kernel int64 `json:"kernel_peak"` // bytes of kernel memory of its server's sockets

	FilesIdle int64 `json:"files_idle"` // descriptors before the first client
	FilesPeak int64 `json:"files_peak"`
	FilesLeft int64 `json:"files_left"` // and after the last one

	Read int64 `json:"read"` // bytes read or made
	Sent int64 `json:"sent"` // bytes that the other end has taken
	Wait int64 `json:"wait"` // the most that was read and not taken at any time

	First        float64 `json:"first_byte_median"` // seconds
	FirstLongest float64 `json:"first_byte_longest"`
	Served       int     `json:"first_bytes"` // clients that got a first byte
	Whole        int64   `json:"complete"`    // clients whose file was complete

	Seconds float64 `json:"seconds"`
	Guarded bool    `json:"ended_by_guard"`
	Trouble string  `json:"trouble,omitempty"` // why it ended early, or why clients failed

	Samples []Sample `json:"samples"`
}

// A Check is something that weir states and that was measured.
type Check struct {
	What  string `json:"what"`
	Limit int64  `json:"limit"`
	Value int64  `json:"value"`
	OK    bool   `json:"ok"`
	count bool   // it is a number of things, and not of bytes
}

func (c Check) String() string {
	f := bytes
	if c.count {
		f = grouped
	}
	verb := "held"
	if !c.OK {
		verb = "broken"
	}
	return fmt.Sprintf("%s: %s of at most %s: %s", c.What, f(c.Value), f(c.Limit), verb)
}

// A quantity is the part of the samples that a plot shows.
type quantity struct {
	title  string
	of     func(Sample) int64
	format func(int64) string
	binary bool // steps of the axis are powers of two
}

var (
	residentMemory = quantity{"resident memory", func(s Sample) int64 { return s.Resident }, bytes, true}
	kernelSockets  = quantity{"kernel memory of the server's sockets", func(s Sample) int64 { return s.Kernel }, bytes, true}
	descriptors    = quantity{"open descriptors", func(s Sample) int64 { return s.Files }, grouped, false}
)

// span returns how long the plot's axes are: the time in seconds and the largest value.
func (r *Result) span(q quantity) (seconds float64, most int64) {
	for _, s := range r.Sides {
		for _, x := range s.Samples {
			seconds, most = max(seconds, x.Seconds), max(most, q.of(x))
		}
	}
	return max(seconds, 1), max(most, 1)
}

// Plot draws the memory of the sides over time in plain characters, each side with
// its letter: an axis of height rows, and three lines more. Where B is at the same
// place as another side, B is drawn.
func (r *Result) Plot(width, height int) []string {
	q := residentMemory
	seconds, most := r.span(q)
	const axis = 11
	width = min(max(width-axis-3, 10), 70)
	height = max(height, 2)
	cells := make([][]byte, height)
	for i := range cells {
		cells[i] = []byte(strings.Repeat(" ", width))
	}
	order := slices.Clone(r.Sides)
	slices.SortStableFunc(order, func(a, b *Side) int { // B last
		return cmp.Compare(strings.Index("CDAB", a.Letter), strings.Index("CDAB", b.Letter))
	})
	for _, s := range order {
		var column []int64 // the largest value in each column
		for _, x := range s.Samples {
			at := min(int(x.Seconds/seconds*float64(width)), width-1)
			for len(column) <= at {
				column = append(column, column[max(0, len(column)-1):]...)
				if len(column) == 0 {
					column = append(column, q.of(x))
				}
			}
			column[at] = max(column[at], q.of(x))
		}
		for at, v := range column {
			if v >= 0 {
				level := int(float64(v) / float64(most) * float64(height-1))
				cells[height-1-level][at] = s.Letter[0]
			}
		}
	}
	lines := []string{fmt.Sprintf("  %s of %s", q.title, r.Experiment)}
	for i, row := range cells {
		mark := ""
		switch i {
		case 0:
			mark = q.format(most)
		case height / 2:
			mark = q.format(most * int64(height-1-i) / int64(height-1))
		case height - 1:
			mark = "0"
		}
		lines = append(lines, strings.TrimRight(fmt.Sprintf("%*s |%s", axis, mark, row), " "))
	}
	end := fmt.Sprintf("%.0f s", seconds)
	return append(lines, fmt.Sprintf("%*s +%s", axis, "", strings.Repeat("-", width)),
		fmt.Sprintf("%*s  0 s%*s", axis, "", width-3, end))
}

// The picture, in pixels.
const (
	svgWidth, svgHeight      = 760, 346
	svgLeft, svgRight        = 84, 110
	svgTop, svgBottom        = 40, 52
	svgPlotWide, svgPlotTall = svgWidth - svgLeft - svgRight, svgHeight - svgTop - svgBottom
)

// svgStyle names its colours once for both themes. The sides differ by dashes too.
const svgStyle = `<style>
svg .ink{fill:#0f172a}svg .dim{fill:#64748b;font-size:12px}svg .grid{stroke:#e2e8f0}svg .axis{stroke:#64748b}
svg .bound{stroke:#dc2626;stroke-dasharray:2 4}svg .boundink{fill:#dc2626;font-size:12px}svg .line{fill:none;stroke-width:2.5;stroke-linejoin:round}
svg .A{stroke:#c2410c}svg .B{stroke:#1d4ed8}svg .C{stroke:#a16207;stroke-dasharray:7 4}svg .D{stroke:#0f766e;stroke-dasharray:2 4}
svg .At{fill:#c2410c}svg .Bt{fill:#1d4ed8}svg .Ct{fill:#a16207}svg .Dt{fill:#0f766e}
@media (prefers-color-scheme: dark){svg .ink{fill:#f1f5f9}svg .dim{fill:#94a3b8}svg .grid{stroke:#334155}svg .axis{stroke:#94a3b8}svg .bound{stroke:#f87171}svg .boundink{fill:#f87171}
svg .A{stroke:#fb923c}svg .B{stroke:#60a5fa}svg .C{stroke:#facc15}svg .D{stroke:#2dd4bf}svg .At{fill:#fb923c}svg .Bt{fill:#60a5fa}svg .Ct{fill:#facc15}svg .Dt{fill:#2dd4bf}}
</style>`

// Picture returns the plot of the sides' memory as a complete SVG file.
func (r *Result) Picture() string { return r.svg(residentMemory) }

// svg draws a quantity.
func (r *Result) svg(q quantity) string {
	seconds, most := r.span(q)
	var bound int64
	if q.title == residentMemory.title && len(r.Sides) > 1 && r.Sides[1].Ceiling > 0 && r.Sides[1].Idle > 0 {
		bound = r.Sides[1].Idle + r.Sides[1].Ceiling + Headroom
	}
	step := niceStep(max(most, bound), q.binary)
	top := (max(most, bound) + step - 1) / step * step
	x := func(t float64) float64 { return svgLeft + t/seconds*svgPlotWide }
	y := func(v int64) float64 { return svgTop + svgPlotTall - float64(v)/float64(top)*svgPlotTall }
	var b strings.Builder
	fmt.Fprintf(&b, `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 %d %d" font-family="system-ui, sans-serif" font-size="14" role="img" aria-labelledby="t d">`+"\n",
		svgWidth, svgHeight)
	fmt.Fprintf(&b, "<title id=\"t\">%s of %s</title>\n<desc id=\"d\">%s</desc>\n%s\n", q.title, markup.Escape(r.Experiment), markup.Escape(r.sentence()), svgStyle)
	fmt.Fprintf(&b, "<text class=\"ink\" x=\"%d\" y=\"20\">%s: %s</text>\n", svgLeft, q.title, markup.Escape(strings.TrimSuffix(r.Setup, ".")))
	for v := int64(0); v <= top; v += step {
		fmt.Fprintf(&b, `<line class="grid" x1="%d" x2="%d" y1="%.1f" y2="%.1f"/><text class="dim" x="%d" y="%.1f" text-anchor="end">%s</text>`+"\n",
			svgLeft, svgLeft+svgPlotWide, y(v), y(v), svgLeft-8, y(v)+4, q.format(v))
	}
	for t, every := 0.0, float64(niceStep(int64(math.Ceil(seconds)), false)); t <= seconds; t += every {
		fmt.Fprintf(&b, `<text class="dim" x="%.1f" y="%d" text-anchor="middle">%.0f s</text>`+"\n", x(t), svgHeight-svgBottom+18, t)
	}
	fmt.Fprintf(&b, `<line class="axis" x1="%d" x2="%d" y1="%.1f" y2="%.1f"/>`+"\n", svgLeft, svgLeft+svgPlotWide, y(0), y(0))
	if bound > 0 {
		fmt.Fprintf(&b, `<line class="bound" x1="%d" x2="%d" y1="%.1f" y2="%.1f"/>`+"\n", svgLeft, svgLeft+svgPlotWide, y(bound), y(bound))
	}
	taken := []float64{}
	for _, s := range r.Sides {
		var points strings.Builder
		endX, endY := -1.0, 0.0
		for _, p := range s.Samples {
			if v := q.of(p); v >= 0 {
				endX, endY = x(p.Seconds), y(v)
				fmt.Fprintf(&points, "%.1f,%.1f ", endX, endY)
			}
		}
		if endX < 0 {
			continue
		}
		fmt.Fprintf(&b, `<polyline class="line %s" points="%s"/>`+"\n", markup.Escape(s.Letter), strings.TrimSpace(points.String()))
		at := apart(endY+4, taken)
		taken = append(taken, at)
		fmt.Fprintf(&b, `<text class="%st" x="%.1f" y="%.1f">%s %s</text>`+"\n", markup.Escape(s.Letter), min(endX+6, svgLeft+svgPlotWide+6), at, markup.Escape(s.Letter), markup.Escape(s.Label))
	}
	if bound > 0 {
		fmt.Fprintf(&b, `<text class="boundink" x="%d" y="%d">dotted: what B states, %s (%s before, its ceiling of %s, %s for the runtime)</text>`+"\n",
			svgLeft, svgHeight-10, bytes(bound), bytes(r.Sides[1].Idle), bytes(r.Sides[1].Ceiling), bytes(Headroom))
	}
	b.WriteString("</svg>\n")
	return b.String()
}

// apart moves a label up until it is off all others.
func apart(y float64, others []float64) float64 {
	for moved := true; moved; {
		moved = false
		for _, o := range others {
			if math.Abs(o-y) < 16 {
				y, moved = o-16, true
			}
		}
	}
	return y
}

// niceStep returns the distance of an axis's marks, of which there are about five.
func niceStep(most int64, binary bool) int64 {
	if binary {
		step := int64(1)
		for most > 6*step {
			step *= 2
		}
		return step
	}
	for step := int64(1); ; step *= 10 {
		for _, n := range []int64{1, 2, 5} {
			if most <= 7*n*step {
				return n * step
			}
		}
	}
}

// sentence describes the plot in words.
func (r *Result) sentence() string {
	a, b := r.Sides[0], r.Sides[1]
	if a.Peak < 0 || b.Peak < 0 {
		return "The memory of the processes could not be measured on this system."
	}
	text := fmt.Sprintf("A (%s) had %s at its peak, B (%s) %s", a.Label, bytes(a.Peak), b.Label, bytes(b.Peak))
	if note := less(a.Peak, b.Peak); note != "" && strings.HasPrefix(note, "B") {
		text += ": " + note
	}
	if r.load == loadAbort && a.FilesLeft >= 0 {
		text += fmt.Sprintf(". When all clients had left, A had %s open that it did not have before, and B %s",
			count(max(0, a.FilesLeft-a.FilesIdle), "descriptor"), count(max(0, b.FilesLeft-b.FilesIdle), "descriptor"))
	}
	return text + "."
}

// A row of the table of a result: a label, the measurement of each side, and a
// remark.
type row struct {
	Label  string
	Values []string
	Note   string
}

// rows returns the table of r. A quantity that no side has is left out.
func (r *Result) rows() (list []row) {
	add := func(label, note string, value func(*Side) string) {
		line := row{Label: label, Note: note}
		some := false
		for _, s := range r.Sides {
			v := value(s)
			some = some || v != ""
			if v == "" {
				v = "-"
			}
			line.Values = append(line.Values, v)
		}
		if some {
			list = append(list, line)
		}
	}
	size := func(n int64) string {
		if n < 0 {
			return ""
		}
		return bytes(n)
	}
	a, b := r.Sides[0], r.Sides[1]
	add("peak memory", less(a.Peak, b.Peak), func(s *Side) string { return size(s.Peak) })
	add("memory before", "", func(s *Side) string { return size(s.Idle) })
	if r.load == loadDownload || r.load == loadUpload {
		add("growth per client", "", func(s *Side) string {
			if s.Peak < 0 {
				return ""
			}
			return size((s.Peak - s.Idle) / int64(max(1, r.Settings.Clients)))
		})
	}
	add("ceiling stated", r.Stated, func(s *Side) string {
		if s.Ceiling == 0 {
			return "none"
		}
		return size(s.Ceiling)
	})
	add("held by its account", "", func(s *Side) string {
		if s.Ceiling == 0 {
			return ""
		}
		return size(s.Held)
	})
	if r.load != loadNone {
		add("kernel, sockets", "not part of the process", func(s *Side) string { return size(s.Kernel) })
	}
	if r.load == loadDownload {
		add("both, per client", "", func(s *Side) string {
			if s.Peak < 0 || s.Kernel < 0 {
				return ""
			}
			return size((s.Peak - s.Idle + s.Kernel) / int64(max(1, r.Settings.Clients)))
		})
	}
	add(r.ReadLabel, "", func(s *Side) string { return size(s.Read) })
	add(r.SentLabel, "", func(s *Side) string { return size(s.Sent) })
	if r.load != loadAbort {
		add("most not yet taken", "", func(s *Side) string { return size(s.Wait) })
	}
	add("first byte, median", "", func(s *Side) string { return s.wait(s.First) })
	add("first byte, longest", "", func(s *Side) string { return s.wait(s.FirstLongest) })
	if r.load == loadDownload {
		add("complete", "", func(s *Side) string {
			return fmt.Sprintf("%s of %s", grouped(s.Whole), grouped(int64(r.Settings.Clients)))
		})
	}
	if r.load == loadAbort {
		number := func(n int64) string {
			if n < 0 {
				return ""
			}
			return grouped(n)
		}
		add("descriptors before", "", func(s *Side) string { return number(s.FilesIdle) })
		add("descriptors, most", "", func(s *Side) string { return number(s.FilesPeak) })
		add("descriptors after", "all clients have left", func(s *Side) string { return number(s.FilesLeft) })
	}
	add("time", "", func(s *Side) string { return fmt.Sprintf("%.1f s", s.Seconds) })
	return list
}

// wait returns a time to a first byte, or "" if there was none.
func (s *Side) wait(seconds float64) string {
	d := time.Duration(seconds * float64(time.Second))
	switch {
	case s.Served == 0:
		return ""
	case d < 10*time.Millisecond:
		return fmt.Sprintf("%.1f ms", seconds*1000)
	case d < time.Second:
		return fmt.Sprintf("%.0f ms", seconds*1000)
	}
	return fmt.Sprintf("%.1f s", seconds)
}

// less returns by how much b is less than a.
func less(a, b int64) string {
	switch {
	case a <= 0 || b <= 0:
		return ""
	case a >= 2*b:
		return fmt.Sprintf("B holds %s times less", grouped(a/b))
	case b >= 2*a:
		return fmt.Sprintf("B holds %s times more", grouped(b/a))
	}
	return "about the same"
}

// Text returns the result for a terminal that is that many columns wide: a plot, a
// table, the limits that weir states and whether they hold.
func (r *Result) Text(width int) string {
	var b strings.Builder
	for _, line := range r.Plot(width, 9) {
		b.WriteString(line + "\n")
	}
	b.WriteString("\n")
	list := r.rows()
	head := row{Note: ""}
	for _, s := range r.Sides {
		head.Values = append(head.Values, s.Letter+" "+s.Label)
	}
	label, columns := 0, make([]int, len(r.Sides))
	for _, line := range append(list, head) {
		label = max(label, utf8.RuneCountInString(line.Label))
		for i, v := range line.Values {
			columns[i] = max(columns[i], utf8.RuneCountInString(v))
		}
	}
	for _, line := range append([]row{head}, list...) {
		text := fmt.Sprintf("  %-*s", label, line.Label)
		for i, v := range line.Values {
			text += fmt.Sprintf("  %-*s", columns[i], v)
		}
		if line.Note != "" && utf8.RuneCountInString(text+line.Note)+2 <= width {
			text += "  " + line.Note
		}
		b.WriteString(strings.TrimRight(text, " ") + "\n")
	}
	b.WriteString("\n")
	for _, s := range r.Sides {
		if s.Trouble != "" {
			fmt.Fprintf(&b, "  %s %s: %s\n", s.Letter, s.Label, s.Trouble)
		}
	}
	for _, c := range r.Checks {
		fmt.Fprintf(&b, "  %s\n", c)
	}
	return b.String()
}
