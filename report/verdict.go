package report

import (
	"cmp"
	"fmt"
	"time"
)

// State is one of the states into which the time of a stage splits.
type State int

const (
	Busy State = iota
	Blocked
	Starved
	Outside
	Unknown // the kernel reads and writes in one call
)

func (s State) String() string {
	return [...]string{"busy", "blocked", "starved", "outside", "unknown"}[s]
}

// MarshalText writes the state as its name.
func (s State) MarshalText() ([]byte, error) { return []byte(s.String()), nil }

// Verdict names the bottleneck of a flow: the stage that all others wait for.
// At most one of Measuring, Stage, Budget and Copy is set. The zero Verdict
// means that there is no single bottleneck.
type Verdict struct {
	Stage string  // the stage that is the bottleneck; empty if none is
	Kind  Kind    // of Stage
	Why   State   // Busy or Outside; Unknown if the kernel hides the bottleneck
	Share float64 // part of the flow's time for which it was the bottleneck, 0 to 1
	Mixed bool    // Share is the time Busy and the time Outside; Why is the longer one
	Limit bool    // the stage limits the rate on purpose

	// Peer is the party that Stage waits for, if it is a source or sink that
	// waits Outside and names it: see [StageStats].
	Peer string

	// Measuring means that the flow is running and that it is too early to tell.
	Measuring bool

	// Budget means that the flow waited for memory from its shared budget.
	Budget bool

	// Copy means that the kernel was busy moving the bytes: neither the source
	// nor the destination kept it waiting.
	Copy bool

	// Kernel is the system call that moved the bytes from source to sink, or
	// empty.
	Kernel string

	// Between names the two stages that share the bottleneck, in the order of the
	// flow, if there is no single one. Both names are empty if more than two
	// stages share it.
	Between [2]Part

	Waiting      string  // the stage upstream that the bottleneck held back most
	WaitingShare float64 // part of the flow's time for which Waiting was blocked, 0 to 1
	BlockedN     int64   // how often Waiting was blocked
}

// Part is one of two stages that share a bottleneck.
type Part struct {
	Name  string
	Share float64 // part of the flow's time for which it was the bottleneck, 0 to 1
}

const (
	// bottleneckShare is the part of the time for which a stage must work, or
	// wait for the outside world, to be the bottleneck.
	bottleneckShare = 0.7

	// heldBackShare is the part of the time for which a stage must be blocked
	// to count as held back by the next one.
	heldBackShare = 0.1

	// partShare is the part of the time that the lesser of two stages must have
	// to be named as sharing the bottleneck.
	partShare = 0.2

	// tie is the difference in shares below which two stages are equally slow.
	tie = 0.02
)

const (
	budgetName = "the memory budget"
	copyName   = "the copy itself"
)

// Blame adds up for how long each stage of a flow was the bottleneck, over
// several phases of its run. The zero Blame is ready to use. It is for one
// goroutine.
type Blame struct {
	stages []time.Duration
	budget time.Duration
}

// Clone returns a copy of b that later calls of Add do not change.
func (b Blame) Clone() Blame {
	b.stages = append([]time.Duration(nil), b.stages...)
	return b
}

// Add judges one phase of a flow, in which no stage came or went: stages hold
// the times of the phase, which took d. It walks from the sink to the source
// and stops at the first stage that is active for most of the phase and holds
// back the stage before it: all stages run at the same rate, so only the edge
// between "blocked" and "starved" shows which one is slow. Stages that it
// passed and that were active all the time too are after a pipe that still
// fills. Only a later phase can show which of them is slower, so all get the
// blame. If no stage stands out, each gets the time for which it was active.
func (b *Blame) Add(stages []StageStats, d time.Duration) {
	if d <= 0 {
		return
	}
	for len(b.stages) < len(stages) {
		b.stages = append(b.stages, 0)
	}
	found := false
	for i := len(stages) - 1; i >= 0; i-- {
		active := stages[i].active(d)
		if active < bottleneckShare {
			active = 0
			if straggles(stages, i, d) {
				active = 1
			}
		}
		if active == 0 {
			continue
		}
		b.stages[i] += part(d, active)
		found = true
		if holdsBack(stages, i, d) {
			break
		}
	}
	if found {
		return
	}
	var short float64
	for i, s := range stages {
		b.stages[i] += part(d, s.active(d))
		short = max(short, s.of(s.Budget, d))
	}
	b.budget += part(d, short)
}

// AddBudget adds a time for which the flow as a whole waited for memory.
func (b *Blame) AddBudget(d time.Duration) { b.budget += d }

func part(d time.Duration, share float64) time.Duration {
	return time.Duration(float64(d) * min(1, share))
}

// holdsBack reports whether stage i is the one that those before it wait for. A
// stage that has ended holds nothing back: if all before i have, i is the first.
func holdsBack(stages []StageStats, i int, d time.Duration) bool {
	for _, u := range stages[i].Upstream {
		if s := stages[u]; s.of(s.Blocked-s.Budget, d) > heldBackShare {
			return true
		}
	}
	for _, u := range upstream(stages, i) {
		if stages[u].gone(d) < 0.5 {
			return false
		}
	}
	return true
}

// straggles reports whether one worker of stage i holds up everything. It then
// works on one value all the time, the other workers must not run further
// ahead, the stage before is blocked, and the stage after is starved.
func straggles(stages []StageStats, i int, d time.Duration) bool {
	s := stages[i]
	if s.Workers < 2 || float64(s.Busy+s.Outside) < bottleneckShare*float64(d) || !holdsBack(stages, i, d) {
		return false
	}
	for _, down := range stages[i+1:] {
		for _, u := range down.Upstream {
			if u == i && down.of(down.Starved, d) < bottleneckShare {
				return false
			}
		}
	}
	return s.Blocked > s.Starved
}

// Verdict names the bottleneck of a flow that has taken wall in total. stages are
// the stages of the whole run.
func (b Blame) Verdict(stages []StageStats, wall time.Duration) Verdict {
	parts := make([]Part, 0, len(stages)+1)
	for i, s := range stages {
		var d time.Duration
		if i < len(b.stages) { // else no phase has been judged yet
			d = b.stages[i]
		}
		parts = append(parts, Part{s.Name, partOf(d, wall)})
	}
	parts = append(parts, Part{budgetName, partOf(b.budget, wall)})
	most, between := greatest(parts)
	switch {
	case most < 0:
		return Verdict{Between: between}
	case most == len(stages):
		v := Verdict{Budget: true, Share: parts[most].Share}
		for _, s := range stages {
			if p := partOf(s.Budget, wall); p > v.WaitingShare {
				v.Waiting, v.WaitingShare, v.BlockedN = s.Name, p, s.BlockedN
			}
		}
		return v
	}
	s := stages[most]
	v := Verdict{Stage: s.Name, Kind: s.Kind, Why: Busy, Share: parts[most].Share, Limit: s.Limits}
	if s.Outside > s.Busy {
		v.Why, v.Peer = Outside, s.Peer
	}
	v.Mixed = 10*min(s.Busy, s.Outside) >= s.Busy+s.Outside && s.Busy > 0
	for _, u := range upstream(stages, most) {
		up := stages[u]
		if p := up.of(up.Blocked, wall); p >= v.WaitingShare && p > heldBackShare {
			v.Waiting, v.WaitingShare, v.BlockedN = up.Name, p, up.BlockedN
		}
	}
	return v
}

func partOf(d, wall time.Duration) float64 {
	if wall <= 0 {
		return 0
	}
	return min(1, float64(d)/float64(wall))
}

// greatest returns the index of the part that governs. If none does it returns
// -1, and the two that share the time, if two do.
func greatest(parts []Part) (most int, between [2]Part) {
	most, next := -1, -1
	for i, p := range parts {
		switch {
		case most < 0 || p.Share > parts[most].Share:
			most, next = i, most
		case next < 0 || p.Share > parts[next].Share:
			next = i
		}
	}
	if most < 0 {
		return -1, between
	}
	if next < 0 {
		if parts[most].Share < bottleneckShare {
			most = -1
		}
		return most, between
	}
	p, q := parts[most].Share, parts[next].Share
	if p >= bottleneckShare && p-q > tie {
		return most, between
	}
	if q >= partShare && p+q >= bottleneckShare && clearlySecond(parts, most, next) {
		between = [2]Part{parts[min(most, next)], parts[max(most, next)]}
	}
	return -1, between
}

// clearlySecond reports whether the second stage stands out from those behind
// it, so that two names say it all.
func clearlySecond(parts []Part, most, next int) bool {
	for i, p := range parts {
		if i != most && i != next && p.Share > parts[next].Share/2 {
			return false
		}
	}
	return true
}

// Judge returns the verdict on stages that no flow has run, such as a transfer
// whose bytes the kernel moved. The stages are in order, the source first, and
// have taken wall in all.
func Judge(wall time.Duration, stages ...StageStats) Verdict {
	chain := make([]StageStats, len(stages))
	for i, s := range stages {
		s.Upstream = nil
		if i > 0 {
			s.Upstream = []int{i - 1}
		}
		chain[i] = s
	}
	return judge(chain, wall)
}

// judge returns the verdict on a flow of one phase.
func judge(stages []StageStats, wall time.Duration) Verdict {
	var b Blame
	b.Add(stages, wall)
	return b.Verdict(stages, wall)
}

// JudgeCopy returns the verdict on a flow whose bytes the kernel moved from its
// source to its sink, with the system call of that name. It returns false for all
// other flows, including a copy through memory, whose source and sink take turns
// like any two stages of a lane.
func JudgeCopy(stages []StageStats, wall time.Duration, kernel string) (Verdict, bool) {
	if kernel == "" || len(stages) != 2 || !stages[0].Copied || !stages[1].Copied {
		return Verdict{}, false
	}
	return judgeCopy(stages[0], stages[1], wall, kernel), true
}

// judgeCopy returns the verdict on a source and a sink between which the kernel
// moves the bytes.
func judgeCopy(from, to StageStats, wall time.Duration, kernel string) Verdict {
	v := Verdict{Kernel: kernel}
	parts := []Part{
		{from.Name, partOf(from.Outside+from.Hidden, wall)},
		{copyName, partOf(from.Busy, wall)},
		{to.Name, partOf(to.Outside+to.Hidden, wall)},
	}
	unknown := partOf(from.Unknown-from.Hidden-to.Hidden, wall)
	most, between := greatest(parts)
	best := max(parts[0].Share, parts[1].Share, parts[2].Share)
	switch {
	case best < bottleneckShare && best+unknown >= bottleneckShare && unknown >= partShare:
		v.Why, v.Share = Unknown, unknown
	case most < 0:
		v.Between = between
	case most == 1:
		v.Copy, v.Share = true, best
	case most == 0:
		v.Stage, v.Kind, v.Why, v.Share = from.Name, from.Kind, Outside, best
	default:
		v.Stage, v.Kind, v.Why, v.Share = to.Name, to.Kind, Outside, best
	}
	return v
}

// upstream lists all stages in front of stage i, the nearest first.
func upstream(stages []StageStats, i int) []int {
	seen := map[int]bool{i: true}
	list := []int{i}
	for n := 0; n < len(list); n++ {
		for _, u := range stages[list[n]].Upstream {
			if !seen[u] {
				seen[u] = true
				list = append(list, u)
			}
		}
	}
	return list[1:]
}

// None reports whether the verdict names no bottleneck. At the beginning of a run
// this says nothing yet.
func (v Verdict) None() bool { return v.Stage == "" && !v.Budget && !v.Copy }

// agrees reports whether v and w say the same apart from the numbers.
func (v Verdict) agrees(w Verdict) bool {
	return v.Stage == w.Stage && v.Peer == w.Peer && v.Measuring == w.Measuring && v.Budget == w.Budget && v.Copy == w.Copy &&
		(v.Why == Unknown) == (w.Why == Unknown) &&
		v.Between[0].Name == w.Between[0].Name && v.Between[1].Name == w.Between[1].Name
}

// equals reports whether the two stages of Between work at the same time, and
// not in turn.
func (v Verdict) equals() bool { return v.Between[0].Share+v.Between[1].Share > 1+partShare }

// Does returns what the stage does in its Share of the time, in words: busy, outside, or
// busy or outside.
func (v Verdict) Does() string {
	if v.Mixed {
		return Busy.String() + " or " + Outside.String()
	}
	return v.Why.String()
}

// mayBe reports whether v, that two stages are equally slow, does not speak
// against one of them.
func (v Verdict) mayBe(w Verdict) bool {
	return v.equals() && w.Stage != "" && (w.Stage == v.Between[0].Name || w.Stage == v.Between[1].Name)
}

// String returns the verdict as a sentence.
func (v Verdict) String() string {
	pct := 100 * v.Share
	switch {
	case v.Measuring:
		return "measuring"
	case v.Why == Unknown:
		return "unknown bottleneck: the kernel moved the bytes (" + v.Kernel + ") and does not tell reading from writing"
	case v.Copy:
		return fmt.Sprintf("the copy itself is the bottleneck: the kernel was busy moving the bytes (%s) %.0f%% of the time", v.Kernel, pct)
	case v.Budget:
		who := v.Waiting
		if who == "" {
			who = "the flow"
		}
		return fmt.Sprintf("the shared memory budget is the bottleneck: %s waited for memory %.0f%% of the time", who, pct)
	case v.Stage == "" && v.Between[0].Name != "":
		p, q := v.Between[0], v.Between[1]
		how := "take turns"
		if v.equals() {
			how = "are equally slow"
		}
		return fmt.Sprintf("no single bottleneck: %s (%.0f%% of the time) and %s (%.0f%%) %s", p.Name, 100*p.Share, q.Name, 100*q.Share, how)
	case v.Stage == "":
		return "no single bottleneck: no stage governed the flow for most of the time"
	}
	var s string
	switch {
	case v.Limit:
		s = fmt.Sprintf("the rate limit (%s) is the bottleneck: it held the flow back %.0f%% of the time", v.Stage, pct)
	case v.Kind == KindSink && v.Why == Outside:
		s = fmt.Sprintf("%s is the bottleneck: writing (%s) took %.0f%% of the time", cmp.Or(v.Peer, "the destination"), v.Stage, pct)
	case v.Kind == KindSource && v.Why == Outside:
		s = fmt.Sprintf("%s is the bottleneck: reading (%s) took %.0f%% of the time", cmp.Or(v.Peer, "the source"), v.Stage, pct)
	default:
		s = fmt.Sprintf("%s is the bottleneck: %s %.0f%% of the time", v.Stage, v.Does(), pct)
	}
	if v.Waiting != "" {
		s += fmt.Sprintf(", and %s waited for it %.0f%% of the time", v.Waiting, 100*v.WaitingShare)
	}
	return s
}

// Since returns the statistics of each stage between two reports of one run. last
// has the stages of the earlier report.
func Since(stages, last []StageStats) []StageStats {
	if len(last) != len(stages) {
		return stages
	}
	list := make([]StageStats, len(stages))
	for i, s := range stages {
		was := last[i]
		s.In, s.Out, s.Dropped = s.In-was.In, s.Out-was.Out, s.Dropped-was.Dropped
		s.Wall, s.Busy, s.Blocked = s.Wall-was.Wall, s.Busy-was.Busy, s.Blocked-was.Blocked
		s.Starved, s.Outside, s.Unknown = s.Starved-was.Starved, s.Outside-was.Outside, s.Unknown-was.Unknown
		s.Budget, s.Hidden = s.Budget-was.Budget, s.Hidden-was.Hidden
		s.BlockedN -= was.BlockedN
		list[i] = s
	}
	return list
}
