// Package report has the types of reports about flows, and the rule that finds
// a bottleneck: only data, and functions of data. A [Report] says where the
// time of each stage went, how much its pipes held, and, in its [Verdict],
// which stage the others wait for.
//
// A flow of package weir returns its Report at any time. For work outside a
// flow, [Judge] applies the same rule to stages whose times you have measured.
// A [Watcher] looks at a report again and again, and names the stage that is
// slow now.
package report

import (
	"fmt"
	"strings"
	"time"

	"github.com/weir-go/weir/internal/units"
)

// Kind is the place of a stage in its flow.
type Kind int

const (
	KindSource Kind = iota
	KindStage
	KindSink
)

func (k Kind) String() string { return [...]string{"source", "stage", "sink"}[k] }

// MarshalText writes the kind as its name.
func (k Kind) MarshalText() ([]byte, error) { return []byte(k.String()), nil }

// StageStats has the times and counts of a stage. The five times add up to
// Wall, the lifetimes of its workers so far and the time it took to open and to
// close the stage:
//
//   - Busy: its own code ran. In a copy by the kernel: the kernel was busy with
//     both reading and writing.
//   - Blocked: the next stage did not take its output. This is backpressure.
//   - Starved: nothing arrived from upstream.
//   - Outside: it waited inside Read or Write of a file, socket or process, or
//     opened or closed it.
//   - Unknown: the kernel moved the bytes from source to sink in one call and
//     waited for one of them, but did not report for which.
type StageStats struct {
	Name    string
	Kind    Kind
	Workers int
	Unit    string // "bytes" or "items", of In
	OutUnit string // of Out
	In, Out int64
	Dropped int64

	Wall, Busy, Blocked, Starved, Outside, Unknown time.Duration

	// BlockedN is how often the stage's goroutine had to wait for room.
	BlockedN int64

	// Budget is the part of Blocked in which a pipe had room and the shared
	// budget had no memory for it.
	Budget time.Duration

	Limits bool // it limits the rate on purpose

	// Peer is the party that a source or sink waits for inside Read or Write, as
	// its reader or writer names it: "the store". Empty means that it names none.
	Peer string

	// Edge describes the durable buffer behind a source or sink, between this flow
	// and another one. The zero Edge means that there is none, or that nothing is
	// known yet.
	Edge Edge

	// Upstream has the indexes in [Report.Stages] of the stages whose output
	// this one takes.
	Upstream []int `json:"-"`

	Copied bool          `json:"-"` // the kernel moved its bytes, or was meant to
	Hidden time.Duration `json:"-"` // the part of Unknown that, by samples of the calls, this end of the copy took
}

// Edge describes a durable buffer between two flows, such as a stream on a server
// or a spool on disk, as one of them saw it last.
type Edge struct {
	Name    string
	Held    int64 // bytes in it, including its overhead
	Max     int64 // the most that it may hold
	Lag     int64 // bytes that were written and that the reading flow has not freed
	Refused int64 // how often this flow had to wait because it was full
}

// Report describes a run of a flow, so far or in total. It is a snapshot that
// does not change.
type Report struct {
	Flow    string
	Running bool
	Wall    time.Duration
	Stages  []StageStats // source first
	Pipes   []PipeStats  // source first
	Ceiling int64        // the most bytes it can hold, plus
	Holders int          // this many values: see [Ceiling]
	Largest int64        // the largest value that went into one of its pipes, in bytes
	Held    int64        // bytes in its pipes now, without stores
	Peak    int64        // sum of the pipes' peaks, in bytes, without stores
	Stuck   []string     // stages that ignored their context for the grace period
	Err     error
	Kernel  string // the system call that has moved the bytes; empty if they went through memory
	Verdict Verdict
}

// Share returns d as a fraction of the stage's time, from 0 to 1.
func (s StageStats) Share(d time.Duration) float64 {
	if s.Wall <= 0 {
		return 0
	}
	return min(1, float64(d)/float64(s.Wall))
}

// of returns the part of a phase of length d that t is, for each worker that
// was there. A stage that was there for a part of the phase only counts as
// idle for the rest.
func (s StageStats) of(t, d time.Duration) float64 {
	return min(1, float64(t)/float64(max(s.Wall, d, 1)))
}

func (s StageStats) active(d time.Duration) float64 { return s.of(s.Busy+s.Outside, d) }

// gone returns the part of a phase after the stage had ended.
func (s StageStats) gone(d time.Duration) float64 { return 1 - s.of(s.Wall, d) }

// String returns the report as a table for people, and the verdict.
func (r Report) String() string {
	var b strings.Builder
	for _, s := range r.Stages {
		fmt.Fprintf(&b, "%-16s busy %3.0f%%  blocked %3.0f%%  starved %3.0f%%  outside %3.0f%%",
			s.Name, 100*s.Share(s.Busy), 100*s.Share(s.Blocked), 100*s.Share(s.Starved), 100*s.Share(s.Outside))
		if s.Unknown > 0 {
			fmt.Fprintf(&b, "  unknown %3.0f%%", 100*s.Share(s.Unknown))
		}
		fmt.Fprintf(&b, "  in %s  out %s\n", amount(s.In, s.Unit), amount(s.Out, s.OutUnit))
	}
	for _, p := range r.Pipes {
		fmt.Fprintf(&b, "%-16s peak %s of %s, writers waited %s, %v\n",
			p.Name, units.Bytes(p.Peak), p.Limit, units.Count(p.BlockedN, "time"), p.Blocked.Round(time.Millisecond))
	}
	b.WriteString(r.Verdict.String())
	return b.String()
}

func amount(n int64, unit string) string {
	if unit == "bytes" {
		return units.Bytes(n)
	}
	return fmt.Sprint(n)
}

// PipeStats has the counts of a pipe, and how long each side waited. Durations
// include waits that have not ended yet.
type PipeStats struct {
	Name        string        // "read → gzip"; empty for a pipe of one's own
	Limit       string        // the most it can hold: "64 KiB and 100 items"
	Items       int64         // values held now
	Bytes       int64         // charge held now, in bytes
	Peak        int64         // most bytes ever held
	Largest     int64         // charge of the largest single value that was written, in bytes
	In, Out     int64         // values written and read
	Blocked     time.Duration // time writers waited for room, added up over writers
	BlockedN    int64         // how often a writer had to wait
	Spells      Spells        // how long writers were blocked at a stretch
	Starved     time.Duration // time readers waited for values, added up over readers
	Dropped     int64         // values a policy dropped
	MostMemory  int64         // bytes it can take at most while no value is larger than its limit; a larger value passes alone, and the pipe then takes Largest
	LimitBytes  int64         // its limit in bytes; 0: it counts values that are not all of one size
	LimitItems  int64         // its limit in values; 0: none
	WaitingSend int           // writers that wait now
	Closed      bool          // no more values can be written
	Stored      bool          // it is the store of a stage, such as a file: its bytes are not in memory
}

// Ceiling is the most memory that a flow holds: Bytes, plus one value for each of
// Holders, because a value exists before weir can measure it. The size of a value is
// its slot plus the memory that it refers to, measured as for weir.Bytes; [Report]
// has the size of the largest one. In a flow of bytes no value is larger than a
// limit, and Holders is 0. If the flow has a MaxValue, Bytes includes the values of
// the holders.
type Ceiling struct {
	// Bytes is the memory of the pipes when they are filled to their limits, plus
	// the memory that the stages declare: windows, blocks, scratch memory.
	Bytes int64

	// Holders is how many values the flow can hold in addition: a value that a
	// stage or worker has just made, one that is larger than the limit of its
	// pipe, and those in a pipe that is limited only by weir.Items.
	Holders int

	// Uncovered lists the stages that pass on values which weir cannot measure,
	// or only in part, with the reason: "map (map[string]int)". Such a value
	// counts its slot and the parts that weir can measure. See Stream.Sized of
	// package weir.
	Uncovered []string
}

// String returns the ceiling as people read it: "404 KiB plus one value for each
// of 12 holders; not covered: map (map[string]int)".
func (c Ceiling) String() string {
	s := units.Bytes(c.Bytes)
	switch {
	case c.Holders == 1:
		s += " plus one value"
	case c.Holders > 1:
		s += fmt.Sprintf(" plus one value for each of %d holders", c.Holders)
	}
	if len(c.Uncovered) > 0 {
		s += "; not covered: " + strings.Join(c.Uncovered, ", ")
	}
	return s
}
