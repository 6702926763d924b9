package weir

import (
	"fmt"
	"time"
)

// State is what a stage does with its time.
type State int

const (
	Busy State = iota
	Blocked
	Starved
	Outside
)

func (s State) String() string { return [...]string{"busy", "blocked", "starved", "outside"}[s] }

// MarshalText writes the state as its name.
func (s State) MarshalText() ([]byte, error) { return []byte(s.String()), nil }

// Verdict names the bottleneck of a flow: the stage that all others wait for.
// The zero Verdict says that there is none.
type Verdict struct {
	Stage string  // empty: no single bottleneck
	Kind  Kind    // of Stage
	Why   State   // Busy or Outside
	Share float64 // of its time that it was so, 0 to 1
	Limit bool    // the stage limits the rate on purpose

	// Kernel is the system call that moved the bytes from source to sink, if
	// one did: it does not tell reading from writing.
	Kernel string

	Waiting      string  // the stage upstream that it held back most
	WaitingShare float64 // of its time that it was blocked, 0 to 1
	BlockedN     int64   // how often
}

// bottleneckShare is the part of the time from which a stage that works or
// waits for the outside world counts as the one that governs the flow.
const bottleneckShare = 0.7

// judge walks from the sink to the source. The bottleneck is the first stage
// that is busy or outside for most of the flow's time while the stage before
// it, if there is one, is held back: all stages run at the same rate, so only
// the edge between "blocked" and "starved" tells them apart.
func judge(stages []StageStats, wall time.Duration) Verdict {
	for i := len(stages) - 1; i >= 0; i-- {
		s := stages[i]
		span := max(s.Wall, wall*time.Duration(max(1, s.Workers)))
		if span <= 0 {
			continue
		}
		share := float64(s.Busy+s.Outside) / float64(span)
		if share < bottleneckShare {
			continue
		}
		v := Verdict{Stage: s.Name, Kind: s.Kind, Why: Busy, Share: min(1, share), Limit: s.Limits}
		if s.Outside > s.Busy {
			v.Why = Outside
		}
		held := len(s.ups) == 0
		for _, u := range upstream(stages, i) {
			up := stages[u]
			b := up.Share(up.Blocked)
			if b >= v.WaitingShare {
				v.Waiting, v.WaitingShare, v.BlockedN = up.Name, b, up.BlockedN
			}
			held = held || b > minHeldBack
		}
		if held {
			return v
		}
	}
	return Verdict{}
}

// Judge returns the verdict on stages that no [Flow] has run: where the kernel
// moved the bytes, for instance, and somebody else kept account of the time. They
// are in order, the source first, and have taken wall in all.
func Judge(wall time.Duration, stages ...StageStats) Verdict {
	chain := make([]StageStats, len(stages))
	for i, s := range stages {
		s.ups = nil
		if i > 0 {
			s.ups = []int{i - 1}
		}
		chain[i] = s
	}
	return judge(chain, wall)
}

// upstream lists all stages in front of stage i, the nearest first.
func upstream(stages []StageStats, i int) []int {
	seen := map[int]bool{i: true}
	list := []int{i}
	for n := 0; n < len(list); n++ {
		for _, u := range stages[list[n]].ups {
			if !seen[u] {
				seen[u] = true
				list = append(list, u)
			}
		}
	}
	return list[1:]
}

// minHeldBack is the share of blocked time from which the neighbour upstream
// counts as held back.
const minHeldBack = 0.1

// String says it in a sentence.
func (v Verdict) String() string {
	if v.Kernel != "" {
		return "the kernel moved the bytes (" + v.Kernel + "): reading and writing were one"
	}
	if v.Stage == "" {
		return "no single bottleneck: no stage governed the flow for most of the time"
	}
	var s string
	pct := 100 * v.Share
	switch {
	case v.Limit:
		s = fmt.Sprintf("the rate limit (%s) is the bottleneck: it held the flow back %.0f%% of the time", v.Stage, pct)
	case v.Kind == KindSink && v.Why == Outside:
		s = fmt.Sprintf("the destination is the bottleneck: writing (%s) took %.0f%% of the time", v.Stage, pct)
	case v.Kind == KindSource && v.Why == Outside:
		s = fmt.Sprintf("the source is the bottleneck: reading (%s) took %.0f%% of the time", v.Stage, pct)
	default:
		s = fmt.Sprintf("%s is the bottleneck: %s %.0f%% of the time", v.Stage, v.Why, pct)
	}
	if v.Waiting != "" {
		s += fmt.Sprintf(", and %s waited for it %.0f%% of the time", v.Waiting, 100*v.WaitingShare)
	}
	return s
}
