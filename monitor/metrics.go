package monitor

import (
	"cmp"
	"maps"
	"math"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/weir-go/weir/report"
)

// Family is one metric with all its series.
type Family struct {
	Name    string // such as "weir_stage_seconds_total"
	Help    string
	Type    string   // "counter", "gauge" or "histogram"
	Labels  []string // names of the labels, sorted
	Samples []Sample
}

// Sample is the value of one series.
type Sample struct {
	Labels []string // values, in the order of Family.Labels
	Value  float64  // of a histogram: the sum

	// Of a histogram: for each upper bound, in rising order, how many
	// observations are at most that, and how many there are in all.
	Bounds []float64
	Counts []uint64
	Count  uint64
}

// sums has the counts of runs that have ended. Monitor.mu guards it.
type sums struct {
	labels labelSet
	runs   map[pair]int64 // flow and outcome
	stages map[pair]*stageSum
	pipes  map[pair]*pipeSum
}

type stageSum struct {
	seconds  [5]time.Duration
	blockedN int64
	bytes    [2]int64 // in, out
	items    [2]int64
	progress time.Time
	live     bool

	edge    bool // there is one behind the stage
	refused int64
	held    int64 // of current runs
	max     int64
	lag     int64
}

type pipeSum struct {
	spells   report.Spells
	now      time.Duration // the longest spell that has not ended
	blocked  time.Duration
	blockedN int64
	dropped  int64
	used     int64 // of current runs
	limit    int64
	live     bool
}

// flowGauges has the current values of the runs of a flow that have not ended, by
// its label.
type flowGauges struct {
	running     int64
	used, limit int64
	bottleneck  string
}

// clone returns a copy that shares the labels.
func (s *sums) clone() *sums {
	c := &sums{labels: s.labels, runs: maps.Clone(s.runs), stages: make(map[pair]*stageSum, len(s.stages)), pipes: make(map[pair]*pipeSum, len(s.pipes))}
	for key, sum := range s.stages {
		x := *sum
		c.stages[key] = &x
	}
	for key, sum := range s.pipes {
		x := *sum
		c.pipes[key] = &x
	}
	return c
}

// fold adds a run that has ended.
func (s *sums) fold(flow string, r report.Report, outcome State) {
	if s.runs == nil {
		s.runs = map[pair]int64{}
	}
	s.runs[pair{flow, string(outcome)}]++
	s.add(flow, r, nil)
}

// add adds the counts of a report. If the run has not ended, it adds its gauges too.
func (s *sums) add(flow string, r report.Report, progress []time.Time) {
	if s.stages == nil {
		s.stages, s.pipes = map[pair]*stageSum{}, map[pair]*pipeSum{}
	}
	for i, st := range r.Stages {
		sum := entryOf(s.stages, s.labels.stage(flow, st.Name))
		for j, d := range states(st) {
			sum.seconds[j] += d
		}
		sum.blockedN += st.BlockedN
		count(&sum.bytes[0], &sum.items[0], st.In, st.Unit)
		count(&sum.bytes[1], &sum.items[1], st.Out, st.OutUnit)
		if i < len(progress) && progress[i].After(sum.progress) {
			sum.progress = progress[i]
		}
		sum.live = sum.live || r.Running
		if e := st.Edge; e.Name != "" {
			sum.edge = true
			sum.refused += e.Refused
			if r.Running {
				sum.held, sum.max, sum.lag = sum.held+e.Held, sum.max+e.Max, sum.lag+e.Lag
			}
		}
	}
	for _, p := range r.Pipes {
		sum := entryOf(s.pipes, s.labels.pipe(flow, p.Name))
		for i, n := range p.Spells.Counts {
			sum.spells.Counts[i] += n
		}
		sum.spells.Total += p.Spells.Total
		sum.blocked += p.Blocked
		sum.blockedN += p.BlockedN
		sum.dropped += p.Dropped
		if r.Running {
			sum.live = true
			sum.now = max(sum.now, p.Spells.Current)
			sum.used += p.Bytes
			sum.limit += p.LimitBytes
		}
	}
}

func count(bytes, items *int64, n int64, unit string) {
	if unit == "bytes" {
		*bytes += n
	} else {
		*items += n
	}
}

func entryOf[K comparable, T any](m map[K]*T, key K) *T {
	if m[key] == nil {
		m[key] = new(T)
	}
	return m[key]
}

func slicesByID(live []*run, reports []report.Report) {
	type both struct {
		r   *run
		rep report.Report
	}
	list := make([]both, len(live))
	for i := range live {
		list[i] = both{live[i], reports[i]}
	}
	slices.SortFunc(list, func(a, b both) int { return cmp.Compare(a.r.id, b.r.id) })
	for i, x := range list {
		live[i], reports[i] = x.r, x.rep
	}
}

func single(name, help string, v float64) Family {
	return Family{Name: name, Help: help, Type: "gauge", Samples: []Sample{{Value: v}}}
}

// families returns the sums as metrics.
func (s *sums) families(gauges map[string]*flowGauges) []Family {
	stage, pipe := []string{"flow", "stage"}, []string{"flow", "pipe"}
	byState := Family{Name: "weir_stage_seconds_total", Type: "counter", Labels: []string{"flow", "stage", "state"},
		Help: "Time of a stage's workers by state: busy, blocked (backpressure), starved, outside (file, socket, process) or unknown (the kernel does not tell)."}
	blocked := Family{Name: "weir_stage_blocked_events_total", Type: "counter", Labels: stage, Help: "How often a stage had to wait for room downstream."}
	bytes := Family{Name: "weir_stage_bytes_total", Type: "counter", Labels: []string{"direction", "flow", "stage"}, Help: "Bytes that entered and left a stage."}
	items := Family{Name: "weir_stage_items_total", Type: "counter", Labels: []string{"direction", "flow", "stage"}, Help: "Items that entered and left a stage."}
	progress := Family{Name: "weir_stage_last_progress_timestamp_seconds", Type: "gauge", Labels: stage, Help: "When a stage of a running flow last moved a value."}
	held := Family{Name: "weir_edge_held_bytes", Type: "gauge", Labels: stage, Help: "Bytes in the edge behind a source or sink of a running flow."}
	holdable := Family{Name: "weir_edge_limit_bytes", Type: "gauge", Labels: stage, Help: "The most that the edge behind a source or sink of a running flow may hold."}
	lag := Family{Name: "weir_edge_lag_bytes", Type: "gauge", Labels: stage, Help: "Bytes written to the edge behind a source or sink of a running flow that its reader has not freed."}
	refused := Family{Name: "weir_edge_refusals_total", Type: "counter", Labels: stage, Help: "How often a sink had to wait because the edge behind it was full."}
	for _, key := range sortedPairs(s.stages) {
		sum := s.stages[key]
		for j, d := range sum.seconds {
			byState.Samples = append(byState.Samples, Sample{Labels: []string{key.flow, key.part, stateNames[j]}, Value: d.Seconds()})
		}
		blocked.Samples = append(blocked.Samples, Sample{Labels: []string{key.flow, key.part}, Value: float64(sum.blockedN)})
		for j, direction := range []string{"in", "out"} {
			labels := []string{direction, key.flow, key.part}
			if sum.bytes[j] > 0 {
				bytes.Samples = append(bytes.Samples, Sample{Labels: labels, Value: float64(sum.bytes[j])})
			}
			if sum.items[j] > 0 {
				items.Samples = append(items.Samples, Sample{Labels: labels, Value: float64(sum.items[j])})
			}
		}
		if sum.live && !sum.progress.IsZero() {
			progress.Samples = append(progress.Samples, Sample{Labels: []string{key.flow, key.part}, Value: unix(sum.progress)})
		}
		if sum.edge {
			labels := []string{key.flow, key.part}
			refused.Samples = append(refused.Samples, Sample{Labels: labels, Value: float64(sum.refused)})
			if sum.live {
				held.Samples = append(held.Samples, Sample{Labels: labels, Value: float64(sum.held)})
				holdable.Samples = append(holdable.Samples, Sample{Labels: labels, Value: float64(sum.max)})
				lag.Samples = append(lag.Samples, Sample{Labels: labels, Value: float64(sum.lag)})
			}
		}
	}
	used := Family{Name: "weir_pipe_used_bytes", Type: "gauge", Labels: pipe, Help: "Bytes that a pipe of a running flow holds."}
	limit := Family{Name: "weir_pipe_limit_bytes", Type: "gauge", Labels: pipe, Help: "Bytes that a pipe of a running flow holds at most; none if it counts values of differing sizes."}
	spells := Family{Name: "weir_pipe_blocked_spell_seconds", Type: "histogram", Labels: pipe, Help: "How long writers of a pipe were blocked at a stretch, of the spells that are over."}
	now := Family{Name: "weir_pipe_blocked_now_seconds", Type: "gauge", Labels: pipe, Help: "How long writers of a pipe of a running flow have been blocked until now; 0 if none is."}
	waited := Family{Name: "weir_pipe_blocked_seconds_total", Type: "counter", Labels: pipe, Help: "Time that writers of a pipe waited for room, added up over writers."}
	dropped := Family{Name: "weir_pipe_dropped_total", Type: "counter", Labels: pipe, Help: "Values that a policy of the pipe dropped."}
	for _, key := range sortedPairs(s.pipes) {
		sum, labels := s.pipes[key], []string{key.flow, key.part}
		if sum.live {
			now.Samples = append(now.Samples, Sample{Labels: labels, Value: sum.now.Seconds()})
			used.Samples = append(used.Samples, Sample{Labels: labels, Value: float64(sum.used)})
			if sum.limit > 0 {
				limit.Samples = append(limit.Samples, Sample{Labels: labels, Value: float64(sum.limit)})
			}
		}
		spells.Samples = append(spells.Samples, spellSample(labels, sum.spells))
		waited.Samples = append(waited.Samples, Sample{Labels: labels, Value: sum.blocked.Seconds()})
		dropped.Samples = append(dropped.Samples, Sample{Labels: labels, Value: float64(sum.dropped)})
	}
	runs := Family{Name: "weir_flow_runs_total", Type: "counter", Labels: []string{"flow", "outcome"}, Help: "Runs of a flow that ended: succeeded, failed or canceled."}
	for _, key := range sortedPairs(s.runs) {
		runs.Samples = append(runs.Samples, Sample{Labels: []string{key.flow, key.part}, Value: float64(s.runs[key])})
	}
	flow := []string{"flow"}
	going := Family{Name: "weir_flow_running", Type: "gauge", Labels: flow, Help: "Runs of a flow that go on."}
	memory := Family{Name: "weir_memory_used_bytes", Type: "gauge", Labels: flow, Help: "Bytes that the pipes of a running flow hold."}
	ceiling := Family{Name: "weir_memory_limit_bytes", Type: "gauge", Labels: flow, Help: "Most bytes that a running flow can hold."}
	verdict := Family{Name: "weir_flow_bottleneck_info", Type: "gauge", Labels: []string{"bottleneck", "flow"},
		Help: "1 for the bottleneck of a running flow, as its verdict names it: a stage, the memory budget, the copy itself, none, unknown or measuring."}
	for _, name := range slices.Sorted(maps.Keys(gauges)) {
		g, labels := gauges[name], []string{name}
		going.Samples = append(going.Samples, Sample{Labels: labels, Value: float64(g.running)})
		memory.Samples = append(memory.Samples, Sample{Labels: labels, Value: float64(g.used)})
		ceiling.Samples = append(ceiling.Samples, Sample{Labels: labels, Value: float64(g.limit)})
		at := cleanLabel(g.bottleneck)
		if _, ok := s.stages[pair{name, at}]; !ok && !notStages[g.bottleneck] {
			at = other
		}
		verdict.Samples = append(verdict.Samples, Sample{Labels: []string{at, name}, Value: 1})
	}
	return []Family{byState, blocked, bytes, items, progress, held, holdable, lag, refused, used, limit, spells, now, waited, dropped, runs, going, memory, ceiling, verdict}
}

// spellSample returns a histogram. Each count includes all spells up to its bound.
func spellSample(labels []string, s report.Spells) Sample {
	h := Sample{Labels: labels, Value: s.Total.Seconds()}
	var sum uint64
	for i, n := range s.Counts {
		sum += uint64(n)
		if i < report.SpellBounds {
			h.Bounds = append(h.Bounds, report.SpellBound(i).Seconds())
			h.Counts = append(h.Counts, sum)
		}
	}
	h.Count = sum
	return h
}

// notStages are the bottlenecks that are no stages.
var notStages = map[string]bool{"measuring": true, "the memory budget": true, "the copy itself": true, "unknown": true, "none": true}

// transferFamilies returns the metrics of servers.
func transferFamilies(groups []*group) []Family {
	active := Family{Name: "weir_transfers_active", Type: "gauge", Labels: []string{"server"}, Help: "Transfers on their way."}
	ended := Family{Name: "weir_transfers_total", Type: "counter", Labels: []string{"direction", "outcome", "server"}, Help: "Transfers that ended: succeeded or failed."}
	bytes := Family{Name: "weir_transfers_bytes_total", Type: "counter", Labels: []string{"direction", "server"}, Help: "Bytes that clients have sent (in) and taken (out)."}
	for _, g := range groups {
		t := g.t.Totals()
		name := cleanLabel(g.name)
		active.Samples = append(active.Samples, Sample{Labels: []string{name}, Value: float64(t.Active)})
		for _, c := range []struct {
			direction, outcome string
			n                  int64
		}{
			{"in", "succeeded", t.UploadsSucceeded},
			{"in", "failed", t.UploadsFailed},
			{"out", "succeeded", t.Succeeded - t.UploadsSucceeded},
			{"out", "failed", t.Failed - t.UploadsFailed},
		} {
			ended.Samples = append(ended.Samples, Sample{Labels: []string{c.direction, c.outcome, name}, Value: float64(c.n)})
		}
		bytes.Samples = append(bytes.Samples,
			Sample{Labels: []string{"in", name}, Value: float64(t.BytesIn)},
			Sample{Labels: []string{"out", name}, Value: float64(t.BytesOut)})
	}
	return []Family{active, ended, bytes}
}

func sortedPairs[T any](m map[pair]T) []pair {
	return slices.SortedFunc(maps.Keys(m), func(a, b pair) int {
		return cmp.Or(strings.Compare(a.flow, b.flow), strings.Compare(a.part, b.part))
	})
}

// appendMetrics appends families in the text format of Prometheus, version 0.0.4.
func appendMetrics(b []byte, list []Family) []byte {
	for _, f := range list {
		if len(f.Samples) == 0 {
			continue
		}
		b = append(b, "# HELP "+f.Name+" "+strings.NewReplacer("\\", `\\`, "\n", `\n`).Replace(f.Help)+"\n# TYPE "+f.Name+" "+f.Type+"\n"...)
		for _, s := range f.Samples {
			if f.Type != "histogram" {
				b = appendSample(b, f.Name, f.Labels, s.Labels, "", s.Value)
				continue
			}
			for i, bound := range s.Bounds {
				b = appendSample(b, f.Name+"_bucket", f.Labels, s.Labels, number(bound), float64(s.Counts[i]))
			}
			b = appendSample(b, f.Name+"_bucket", f.Labels, s.Labels, "+Inf", float64(s.Count))
			b = appendSample(b, f.Name+"_sum", f.Labels, s.Labels, "", s.Value)
			b = appendSample(b, f.Name+"_count", f.Labels, s.Labels, "", float64(s.Count))
		}
	}
	return b
}

var escapeLabel = strings.NewReplacer(`\`, `\\`, `"`, `\"`, "\n", `\n`)

func appendSample(b []byte, name string, labels, values []string, le string, v float64) []byte {
	b = append(b, name...)
	sep := byte('{')
	label := func(name, value string) {
		b = append(b, sep)
		b = append(b, name...)
		b = append(b, '=', '"')
		b = append(b, escapeLabel.Replace(value)...)
		b = append(b, '"')
		sep = ','
	}
	for i, l := range labels {
		label(l, values[i])
	}
	if le != "" {
		label("le", le)
	}
	if sep == ',' {
		b = append(b, '}')
	}
	b = append(b, ' ')
	b = append(b, number(v)...)
	return append(b, '\n')
}

func number(f float64) string {
	if math.IsInf(f, 1) {
		return "+Inf"
	}
	return strconv.FormatFloat(f, 'g', -1, 64)
}
