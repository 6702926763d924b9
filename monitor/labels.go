package monitor

import (
	"strings"
	"unicode"
)

// How many label values a Monitor hands out. Later names are counted under the
// value "other", so that the number of series is bounded whatever names a
// program gives to its flows and stages.
const (
	maxFlowLabels  = 100
	maxStageLabels = 500 // pairs of flow and stage
	maxPipeLabels  = 300 // pairs of flow and pipe
	maxLabel       = 100 // characters of one
	other          = "other"
)

// pair is a flow and one of its stages or pipes.
type pair struct{ flow, part string }

// labelSet hands out label values.
type labelSet struct {
	flows  map[string]bool
	stages map[pair]bool
	pipes  map[pair]bool
}

// flow returns the label value for a flow.
func (l *labelSet) flow(name string) string {
	if name == "" {
		name = "unnamed"
	}
	if l.flows == nil {
		l.flows = map[string]bool{}
	}
	if !take(l.flows, name, maxFlowLabels) {
		return other
	}
	return name
}

func (l *labelSet) stage(flow, name string) pair {
	if l.stages == nil {
		l.stages = map[pair]bool{}
	}
	return part(l.stages, flow, name, maxStageLabels)
}

func (l *labelSet) pipe(flow, name string) pair {
	if l.pipes == nil {
		l.pipes = map[pair]bool{}
	}
	return part(l.pipes, flow, name, maxPipeLabels)
}

func part(set map[pair]bool, flow, name string, most int) pair {
	p := pair{flow, cleanLabel(name)}
	if !take(set, p, most) {
		return pair{other, other}
	}
	return p
}

// take reports whether key is in set, or fits in it and is now.
func take[K comparable](set map[K]bool, key K, most int) bool {
	if set[key] {
		return true
	}
	if len(set) >= most {
		return false
	}
	set[key] = true
	return true
}

// cleanLabel returns the part of a name that may be a label: without the words
// that contain a slash or a backslash, which may be a path or a URL, without the
// ends of addresses, and not too long.
func cleanLabel(name string) string {
	words := strings.FieldsFunc(strings.ToValidUTF8(name, "?"), func(r rune) bool { return unicode.IsSpace(r) || !unicode.IsPrint(r) })
	kept := words[:0]
	for _, w := range words {
		if !strings.ContainsAny(w, `/\`) {
			kept = append(kept, w)
		}
	}
	return cut(strings.Join(kept, " "), maxLabel)
}
