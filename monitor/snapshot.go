package monitor

import (
	"cmp"
	"fmt"
	"maps"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode"

	"github.com/weir-go/weir"
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

// headline chooses the subject of the snapshot's sentence.
func (s *Snapshot) headline(live []subject, last *Flow) {
	if len(live) > 0 {
		first := slices.MinFunc(live, func(a, b subject) int {
			return cmp.Or(cmp.Compare(a.rank(), b.rank()), cmp.Compare(a.start, b.start))
		})
		s.State, s.Sentence, s.Since, s.Subject = first.state, first.sentence, first.since, first.name
		return
	}
	if last != nil {
		s.State, s.Sentence, s.Subject = last.State, last.Sentence, "flow "+strconv.FormatUint(last.ID, 10)
		if last.Err != "" {
			s.Sentence = last.Err
		}
		return
	}
	s.State, s.Sentence = Idle, "nothing runs"
	for _, g := range s.Transfers {
		if g.Active == 0 && g.Succeeded+g.Failed > 0 {
			s.Sentence = "no transfer is on its way"
		}
	}
}

// subject is a flow or a transfer that the sentence of a snapshot may describe.
type subject struct {
	name     string
	state    State
	sentence string
	since    float64
	start    float64
}

// rank orders subjects by how much they matter.
func (s subject) rank() int {
	switch s.state {
	case Stalled:
		return 0
	case PushingBack:
		return 1
	}
	return 2
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
