package monitor

import (
	"math"
	"os"
	"path/filepath"
	"time"
)

var program = Program{Name: programName(), PID: os.Getpid(), Start: unix(time.Now())}

func programName() string {
	if len(os.Args) == 0 {
		return ""
	}
	return filepath.Base(os.Args[0])
}

// Version is the version of the JSON that a Monitor writes. It changes when a
// field changes its meaning or goes away, not when one is added.
const Version = 1

// Snapshot is the state of the flows and transfers of a [Monitor] at one
// moment. Amounts are in bytes, rates in values a second, times in seconds,
// points in time in seconds since 1970, shares from 0 to 1. Nothing in it
// changes any more.
//
// Flows, stages, transfers and events are objects keyed by decimal numbers, not
// lists, so that a difference between two snapshots names only what changed.
type Snapshot struct {
	V    int     `json:"v"`
	Time float64 `json:"time"`

	Program Program `json:"program"`

	// State and Sentence describe the flow or the transfer that matters most:
	// a stalled one, else one that is held back, else the oldest that runs, else
	// the last one that ended.
	State    State   `json:"state"`
	Sentence string  `json:"sentence"`
	Since    float64 `json:"since,omitempty"` // since when the sentence has held; 0: since the start
	Subject  string  `json:"subject"`         // their flow or transfer: "flow 12", "files 7", or empty

	In      float64 `json:"in"`  // bytes a second that enter the shown flows and that clients send
	Out     float64 `json:"out"` // bytes a second that leave them and that clients take
	Memory  Memory  `json:"memory"`
	Process Process `json:"process"`

	Flows     map[string]Flow          `json:"flows"`     // that run, at most 50, and the last 20 that ended
	Running   int                      `json:"running"`   // flows that run, shown or not
	Runs      Runs                     `json:"runs"`      // that ended
	Transfers map[string]TransferGroup `json:"transfers"` // by the name of their registry
	Events    map[string]Event         `json:"events"`    // the last 100
	Viewers   int                      `json:"viewers"`   // of the live page

	// Closed means that the monitor has been closed: nothing follows.
	Closed bool `json:"closed,omitempty"`
}

// Program is the process that a snapshot is about.
type Program struct {
	Name  string  `json:"name"` // of its executable file, without the folder
	PID   int     `json:"pid"`
	Start float64 `json:"start"` // about when it was started
}

// Memory is the memory that flows hold in their pipes, and their ceiling. The
// ceiling counts the values of holders as the largest one until now.
type Memory struct {
	Used  int64 `json:"used"`
	Limit int64 `json:"limit"`
}

// Process is the memory of the whole process, for comparison.
type Process struct {
	Heap       int64 `json:"heap"` // bytes in live and not yet collected objects
	RSS        int64 `json:"rss"`  // resident bytes as the system reports them; 0: the system does not say
	Goroutines int64 `json:"goroutines"`
}

// Runs counts flows by how they ended.
type Runs struct {
	Succeeded int64 `json:"succeeded"`
	Failed    int64 `json:"failed"`
	Canceled  int64 `json:"canceled"` // because their context ended
}

// State says how a flow or a transfer does, in one or two words.
type State string

const (
	Idle        State = "idle"         // nothing runs, nothing has run
	Measuring   State = "measuring"    // it is too early to tell
	KeepingUp   State = "keeping up"   // no stage holds back the stages upstream
	PushingBack State = "pushing back" // a stage holds back those before it
	Stalled     State = "stalled"      // no progress for 5 s
	Succeeded   State = "succeeded"
	Failed      State = "failed"
	Canceled    State = "canceled"
)

// Flow is one run of a flow. Of one that has ended, shares are of the whole run.
type Flow struct {
	ID       uint64  `json:"id"`
	Name     string  `json:"name"` // of a flow without one, its first and its last stage
	Running  bool    `json:"running"`
	Start    float64 `json:"start"`
	Wall     float64 `json:"wall"` // how long it has run
	State    State   `json:"state"`
	Sentence string  `json:"sentence"`        // the verdict, as Flow.Watch holds it for 2 s
	Since    float64 `json:"since,omitempty"` // since when it holds; 0: since the start
	Stalled  float64 `json:"stalled"`         // for how long there has been no progress; 0: less than 5 s
	Verdict  Verdict `json:"verdict"`
	Err      string  `json:"error,omitempty"`

	In      float64          `json:"in"`  // values a second that leave its sources, over the last second
	Out     float64          `json:"out"` // values a second that reach its sinks
	Used    int64            `json:"used"`
	Peak    int64            `json:"peak"`
	Ceiling int64            `json:"ceiling"`
	Holders int              `json:"holders"` // so many values may come on top of the ceiling
	Largest int64            `json:"largest"` // the largest value until now, in bytes
	Kernel  string           `json:"kernel,omitempty"`
	Stuck   []string         `json:"stuck,omitempty"` // stages that ignore the end of their context
	Stages  map[string]Stage `json:"stages"`          // by their place in the flow; 0 is a source
	Pipes   map[string]Pipe  `json:"pipes"`
	Hidden  int              `json:"hidden,omitempty"` // stages and pipes beyond the first 64 of each
}

// Verdict is the verdict in parts, for programs.
type Verdict struct {
	Bottleneck   string  `json:"bottleneck"` // a stage, "the memory budget", "the copy itself", "none", "unknown" or "measuring"
	Stage        int     `json:"stage"`      // its place in the flow; -1: it is no stage
	Share        float64 `json:"share"`      // of the time for which it was the bottleneck
	Waiting      string  `json:"waiting,omitempty"`
	WaitingShare float64 `json:"waiting_share,omitempty"`
	Limit        bool    `json:"limit,omitempty"` // it limits the rate on purpose
	Peer         string  `json:"peer,omitempty"`  // the peer of the bottleneck, if it names one: "the store"
}

// Stage is one stage of a flow.
type Stage struct {
	Name     string     `json:"name"`
	Kind     string     `json:"kind"` // "source", "stage" or "sink"
	Workers  int        `json:"workers"`
	Unit     string     `json:"unit"` // of In: "bytes" or "items"
	OutUnit  string     `json:"out_unit"`
	In       int64      `json:"in"`
	Out      int64      `json:"out"`
	Dropped  int64      `json:"dropped"`
	InRate   float64    `json:"in_rate"` // over the last second
	OutRate  float64    `json:"out_rate"`
	Shares   [5]float64 `json:"shares"`   // busy, blocked, starved, outside, unknown: over the last second
	Seconds  [5]float64 `json:"seconds"`  // the same, of the whole run, over all workers
	BlockedN int64      `json:"blocked"`  // how often it had to wait for room
	Progress float64    `json:"progress"` // when it last moved a value; 0: never
	Limits   bool       `json:"limits,omitempty"`
	Ups      []int      `json:"ups,omitempty"` // places of the stages before it
	Edge     *Edge      `json:"edge,omitempty"`
}

// Edge is the durable buffer behind a source or sink, between its flow and another
// one.
type Edge struct {
	Name    string `json:"name"`
	Held    int64  `json:"held"`
	Max     int64  `json:"max"`
	Lag     int64  `json:"lag"`     // bytes that were written and that the reading flow has not freed
	Refused int64  `json:"refused"` // how often this flow had to wait because it was full
}

// Pipe is the bounded buffer between two stages.
type Pipe struct {
	Name     string  `json:"name"` // "read → gzip"
	Used     int64   `json:"used"`
	Limit    int64   `json:"limit"` // 0: it counts values of differing sizes, see Items
	Items    int64   `json:"items"`
	Most     int64   `json:"most,omitempty"` // its limit in values; 0: none
	Fill     float64 `json:"fill"`           // the part that is full, by the limit that is nearer
	Peak     int64   `json:"peak"`
	BlockedN int64   `json:"blocked"` // how often a writer had to wait for room
	Blocked  float64 `json:"blocked_seconds"`
	Writers  int     `json:"writers"` // that wait now
	Dropped  int64   `json:"dropped"`
}

// Event is something that happened.
type Event struct {
	Time    float64 `json:"time"`
	Kind    string  `json:"kind"`    // "started", "bottleneck", "stalled", "resumed", "ended", "failed" or "left"
	Subject string  `json:"subject"` // as Snapshot.Subject
	Text    string  `json:"text"`
}

func unix(t time.Time) float64 {
	if t.IsZero() {
		return 0
	}
	return float64(t.UnixMilli()) / 1000
}

// seconds rounds to milliseconds.
func seconds(d time.Duration) float64 { return math.Round(d.Seconds()*1000) / 1000 }

// hundredth rounds a share.
func hundredth(f float64) float64 { return math.Round(f*100) / 100 }

// threeDigits rounds a rate to three significant digits: more of them change all
// the time and say nothing.
func threeDigits(f float64) float64 {
	if f == 0 || math.IsNaN(f) || math.IsInf(f, 0) {
		return 0
	}
	scale := math.Pow(10, math.Floor(math.Log10(math.Abs(f)))-2)
	r := math.Round(f/scale) * scale
	return math.Round(r*1000) / 1000
}
