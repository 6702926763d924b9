package main

import (
	"fmt"
	"math"
)

// target is a figure that must be reached, judged on the medians of one run.
type target struct {
	what string // the words of the requirement
	ours string
	peer string // empty: an absolute figure
	// judge returns the figure, in words, and whether it is good enough.
	judge func(u unit, ours, peer *result) (string, bool)
}

// atMost demands ours ≤ times × peer.
func atMost(ours string, times float64, peer string) target {
	return target{
		what: fmt.Sprintf("%s: ≤ %.4g × %s", ours, times, peer), ours: ours, peer: peer,
		judge: func(_ unit, a, b *result) (string, bool) {
			got := a.median.value / b.median.value
			return fmt.Sprintf("%.3g ×", got), got <= times
		},
	}
}

// faster demands that ours is at least times as fast as peer.
func faster(ours string, times float64, peer string) target {
	return target{
		what: fmt.Sprintf("%s: ≥ %.4g × faster than %s", ours, times, peer), ours: ours, peer: peer,
		judge: func(_ unit, a, b *result) (string, bool) {
			got := b.median.value / a.median.value
			return fmt.Sprintf("%.3g ×", got), got >= times
		},
	}
}

// within demands that ours takes at most the given part more than peer.
func within(ours string, part float64, peer string) target {
	return target{
		what: fmt.Sprintf("%s: within %.4g %% of %s", ours, 100*part, peer), ours: ours, peer: peer,
		judge: func(_ unit, a, b *result) (string, bool) {
			got := a.median.value/b.median.value - 1
			return fmt.Sprintf("%+.1f %%", 100*got), got <= part
		},
	}
}

// below demands ours ≤ most, in the row's unit. per names the operation.
func below(ours string, most float64, per string) target {
	return target{
		what: fmt.Sprintf("%s: ≤ %.4g %s", ours, most, per), ours: ours,
		judge: func(u unit, a, _ *result) (string, bool) {
			return u.format(a.median.value) + " " + u.String(), a.median.value <= most
		},
	}
}

// noAllocation demands that operations do not allocate. The allocations of
// starting a flow are spread over all of them.
func noAllocation(ours string) target {
	return target{
		what: ours + ": no allocation", ours: ours,
		judge: func(_ unit, a, _ *result) (string, bool) {
			return fmt.Sprintf("%.1g allocations an item", a.median.allocs), a.median.allocs < 1e-3
		},
	}
}

// verdict is a target and how it came out.
type verdict struct {
	row, what, got, word string
}

// check judges the targets of a row.
func check(r row, results map[string]*result) []verdict {
	var vs []verdict
	for _, t := range r.targets {
		v := verdict{row: r.name, what: t.what, word: "not measured"}
		ours, peer := results[t.ours], results[t.peer]
		switch {
		case ours == nil || len(ours.samples) == 0:
			v.got = t.ours + " did not run"
		case t.peer != "" && (peer == nil || len(peer.samples) == 0):
			v.got = t.peer + " not present"
		default:
			if math.IsNaN(ours.median.value) {
				break
			}
			var ok bool
			v.got, ok = t.judge(r.unit, ours, peer)
			v.word = "MISS"
			if ok {
				v.word = "PASS"
			}
		}
		vs = append(vs, v)
	}
	return vs
}
