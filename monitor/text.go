package monitor

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode"

	"github.com/weir-go/weir"
)

// Text returns the snapshot as text for people. Apart from sentences and names, it is
// at most 80 columns wide. Text replaces control characters in names.
func (s *Snapshot) Text() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s: %s%s\n", s.State, s.Sentence, s.held(s.Since))
	fmt.Fprintf(&b, "%s in, %s out; %s of %s in buffers; process %s; %s\n",
		rate(s.In, "bytes"), rate(s.Out, "bytes"), weir.FormatBytes(s.Memory.Used), weir.FormatBytes(s.Memory.Limit),
		weir.FormatBytes(max(s.Process.RSS, s.Process.Heap)), time.UnixMilli(int64(s.Time*1000)).UTC().Format(time.DateTime+" UTC"))
	flows := slices.SortedFunc(maps.Values(s.Flows), func(a, b Flow) int {
		if a.Running != b.Running {
			return map[bool]int{true: -1, false: 1}[a.Running]
		}
		if a.Running {
			return cmp.Compare(a.ID, b.ID)
		}
		return cmp.Compare(b.ID, a.ID)
	})
	for _, f := range flows {
		s.flowText(&b, f)
	}
	if hidden := s.Running - running(flows); hidden > 0 {
		fmt.Fprintf(&b, "\n%d more flows run\n", hidden)
	}
	for _, name := range slices.Sorted(maps.Keys(s.Transfers)) {
		groupText(&b, name, s.Transfers[name])
	}
	if len(s.Events) > 0 {
		b.WriteString("\nevents\n")
	}
	for _, id := range sortedIDs(s.Events) {
		e := s.Events[id]
		fmt.Fprintf(&b, "  %s  %s\n", time.UnixMilli(int64(e.Time*1000)).UTC().Format(time.TimeOnly), e.Text)
	}
	return strings.Map(func(r rune) rune {
		if r != '\n' && !unicode.IsPrint(r) {
			return '?'
		}
		return r
	}, b.String())
}

func running(flows []Flow) (n int) {
	for _, f := range flows {
		if f.Running {
			n++
		}
	}
	return n
}

// held says since when a sentence has held.
func (s *Snapshot) held(since float64) string {
	if since == 0 || since > s.Time {
		return ""
	}
	return fmt.Sprintf(" (since %.0f s)", s.Time-since)
}

func (s *Snapshot) flowText(b *strings.Builder, f Flow) {
	name := f.Name
	if name != "" {
		name = " " + name
	}
	fmt.Fprintf(b, "\nflow %d%s, %s, %.1f s\n  %s%s\n", f.ID, name, f.State, f.Wall, f.Sentence, s.held(f.Since))
	if f.Err != "" {
		fmt.Fprintf(b, "  error: %s\n", f.Err)
	}
	if len(f.Stages) == 0 {
		return
	}
	fmt.Fprintf(b, "  %-18s %5s %8s %8s %8s %13s %13s\n", "stage", "busy", "blocked", "starved", "outside", "in", "out")
	for i := range len(f.Stages) {
		st := f.Stages[decimal(i)]
		unknown := ""
		if st.Shares[4] > 0 {
			unknown = fmt.Sprintf("  (kernel, unknown: %.0f%%)", 100*st.Shares[4])
		}
		fmt.Fprintf(b, "  %-18s %4.0f%% %7.0f%% %7.0f%% %7.0f%% %13s %13s%s\n", cut(st.Name, 18),
			100*st.Shares[0], 100*st.Shares[1], 100*st.Shares[2], 100*st.Shares[3], rate(st.InRate, st.Unit), rate(st.OutRate, st.OutUnit), unknown)
	}
	for i := range len(f.Pipes) {
		p := f.Pipes[decimal(i)]
		held := weir.FormatBytes(p.Used)
		if p.Limit > 0 {
			held += fmt.Sprintf(" of %s (%.0f%%)", weir.FormatBytes(p.Limit), 100*p.Fill)
		} else {
			held += " in " + strconv.FormatInt(p.Items, 10) + " items"
		}
		fmt.Fprintf(b, "  pipe %-29s %s\n", cut(p.Name, 29), held)
	}
	if f.Hidden > 0 {
		fmt.Fprintf(b, "  %d more stages and pipes\n", f.Hidden)
	}
}

func groupText(b *strings.Builder, name string, g TransferGroup) {
	fmt.Fprintf(b, "\ntransfers %s: %d on their way, %d succeeded, %d failed, %s received, %s sent\n",
		name, g.Active, g.Succeeded, g.Failed, weir.FormatBytes(g.BytesIn), weir.FormatBytes(g.BytesOut))
	ids := slices.SortedFunc(maps.Keys(g.Rows), func(a, b string) int {
		return cmp.Or(cmp.Compare(g.Rows[b].Waited, g.Rows[a].Waited), cmp.Compare(a, b))
	})
	for i, id := range ids {
		if i == 50 {
			break
		}
		x := g.Rows[id]
		size := ""
		if x.Size >= 0 {
			size = " of " + weir.FormatBytes(x.Size)
		}
		fmt.Fprintf(b, "  %-21s %-22s %s%s at %s, waited %.0f s  %s\n", x.Client, x.State, weir.FormatBytes(x.Moved), size, rate(x.Rate, "bytes"), x.Waited, x.Name)
	}
	if more := g.Active - int64(min(len(ids), 50)); more > 0 {
		fmt.Fprintf(b, "  and %d more, which have waited less\n", more)
	}
}

func rate(r float64, unit string) string {
	if unit == "bytes" {
		return weir.FormatBytes(int64(r)) + "/s"
	}
	return strconv.FormatFloat(r, 'f', -1, 64) + "/s"
}

// cut shortens a name to n characters.
func cut(s string, n int) string {
	if r := []rune(s); len(r) > n {
		return string(r[:n-1]) + "…"
	}
	return s
}

func sortedIDs(m map[string]Event) []string {
	return slices.SortedFunc(maps.Keys(m), func(a, b string) int {
		return cmp.Or(cmp.Compare(len(a), len(b)), cmp.Compare(a, b))
	})
}
