package lab

import (
	"fmt"
	"strings"
	"time"
	"unicode/utf8"
)

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
