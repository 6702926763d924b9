package weir

import (
	"fmt"
	"strings"
)

// Explain describes how the flow would run: its lanes, the pipes between them
// with their limits, what its stages hold, its ceiling, and the system call
// that would move the bytes if no stage has to see them. It opens nothing.
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
			if sp.st.holds > 0 {
				fmt.Fprintf(&s, "           %s holds at most %s\n", sp.st.name, FormatBytes(sp.st.holds))
			}
		}
	}
	for _, e := range b.edges {
		fmt.Fprintf(&s, "pipe       %s: limit %s, at most %s\n", e.label(), e.stats().Limit, FormatBytes(e.ceiling()))
	}
	fmt.Fprintf(&s, "ceiling    %s\n", FormatBytes(b.ceiling()))
	return s.String(), nil
}
