package weir

import (
	"fmt"
	"strings"

	"github.com/weir-go/weir/internal/units"
	"github.com/weir-go/weir/report"
)

// Explain describes how the flow would run: its lanes, the pipes between them with
// their limits, the memory of its stages and which part of that the ceiling does not
// cover, the ceiling, and the system call that would move the bytes if no stage has
// to see them. It opens nothing.
func (f *Flow) Explain() (string, error) {
	b, err := f.assemble()
	if err != nil {
		return "", err
	}
	var s strings.Builder
	for i := 0; i < len(b.lanes); {
		l := b.lanes[i]
		name := l.name()
		if name == "" && l.owner != nil {
			name = l.owner.name + ", in order"
		}
		number := fmt.Sprint(i + 1)
		if len(l.spots) == 1 && l.spots[0].st.workers > 1 {
			i += l.spots[0].st.workers
			number += fmt.Sprintf("–%d", i)
		} else {
			i++
		}
		fmt.Fprintf(&s, "lane %-5s %s\n", number, name)
		for _, sp := range l.spots {
			if sp.st.kernel != "" {
				fmt.Fprintf(&s, "           the kernel moves the bytes: %s\n", sp.st.kernel)
			}
			if held := holding(sp.st.holds, sp.st.beyond); held != "" {
				fmt.Fprintf(&s, "           %s holds at most %s\n", sp.st.name, held)
			}
			for _, why := range sp.st.uncovered {
				fmt.Fprintf(&s, "           not covered: values of %s\n", why)
			}
		}
	}
	for _, e := range b.edges {
		if inStore(e.anyPipe) {
			continue // it is in a lane's name already, and takes no memory
		}
		fmt.Fprintf(&s, "pipe       %s: limit %s, at most %s\n", e.Name(), limitOf(e.Stats().Limit), holding(e.Ceiling(), e.holders()))
	}
	fmt.Fprintf(&s, "ceiling    %v\n", b.ceiling())
	return s.String(), nil
}

// holding describes the contents of a stage or pipe: "64 KiB and 2 values", or "" if
// it holds nothing.
func holding(bytes int64, x beyond) string {
	var c report.Ceiling
	if c.Bytes = bytes; x.most > 0 {
		addBeyond(&c, x)
		x.values = 0
	}
	switch {
	case x.values == 0 && c.Bytes == 0:
		return ""
	case x.values == 0:
		return FormatBytes(c.Bytes)
	}
	values := units.Count(int64(x.values), "value")
	if c.Bytes == 0 {
		return values
	}
	return FormatBytes(c.Bytes) + " and " + values
}
