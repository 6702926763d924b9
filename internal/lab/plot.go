package lab

import (
	"cmp"
	"fmt"
	"math"
	"slices"
	"strings"
)

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
	fmt.Fprintf(&b, "<title id=\"t\">%s of %s</title>\n<desc id=\"d\">%s</desc>\n%s\n", q.title, escape(r.Experiment), escape(r.sentence()), svgStyle)
	fmt.Fprintf(&b, "<text class=\"ink\" x=\"%d\" y=\"20\">%s: %s</text>\n", svgLeft, q.title, escape(strings.TrimSuffix(r.Setup, ".")))
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
		fmt.Fprintf(&b, `<polyline class="line %s" points="%s"/>`+"\n", s.Letter, strings.TrimSpace(points.String()))
		at := apart(endY+4, taken)
		taken = append(taken, at)
		fmt.Fprintf(&b, `<text class="%st" x="%.1f" y="%.1f">%s %s</text>`+"\n", s.Letter, min(endX+6, svgLeft+svgPlotWide+6), at, s.Letter, escape(s.Label))
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
