package monitor

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"net"
	"slices"
	"strconv"
	"sync"
	"time"

	"github.com/weir-go/weir"
	"github.com/weir-go/weir/report"
)

// Default is the Monitor behind [Handler].
var Default Monitor

// Monitor is a registry of flows that run or have just ended, and of transfers.
// Its zero value is ready to use. Set its fields before the first call. A Monitor
// may be used by several goroutines and must not be copied.
//
// A Monitor that watches nothing costs nothing. While a flow runs, transfers are
// registered or a page is open, one goroutine looks at them a few times a second.
// It ends by itself when there is nothing left to look at; [Monitor.Close] ends
// and waits for it.
type Monitor struct {
	// Log, if not nil, gets the events of [Snapshot]: what became the
	// bottleneck, what stalled, which client left, how flows ended. At most 20 a
	// second are logged.
	Log *slog.Logger

	// Budget, if not nil, is the memory that flows and transfers share. Snapshots
	// then show the memory of the budget. Without a budget they show the sum over
	// all running flows.
	Budget *weir.Budget

	// Label, if not nil, returns the value of the label "flow" of metrics for
	// the name of a flow. By default that is the name without the words that
	// contain a slash or a backslash, since a path must not become a label. If
	// nothing is left, the label is the name of the flow's sink.
	Label func(flow string) string

	// LabelPart, if not nil, returns the value of the labels "stage", "pipe" and
	// "bottleneck" of metrics for the name of a stage or a pipe. By default it is
	// made as for flows.
	LabelPart func(part string) string

	// Edit, if not nil, returns the report that is shown for a report of a flow:
	// with other names of stages, for instance. It may be called by several
	// goroutines at a time.
	Edit func(*weir.Flow, report.Report) report.Report

	mu     sync.Mutex // guards the fields below; never locked while other code is called
	lastID uint64
	live   map[*weir.Flow]*run
	recent []*run // that ended, the oldest first
	runs   Runs
	sums   sums
	events eventList
	groups []*group

	viewers map[*viewer]bool
	asks    []chan *sampled // wait for a snapshot
	loop    *loop           // the sampler that runs, or nil
	latest  *sampled        // of the sampler; may be nil
	stale   bool            // something has begun or ended since latest
	stops   map[*stop]bool  // of Watch and WatchAll
	closed  bool
	ended   chan struct{} // closed by Close; made when first needed

	history  history
	followed followed
	sampling
}

// stop undoes a registration once.
type stop struct{ f func() }

const (
	maxWatched = 50 // flows that are looked at in detail at a time
	maxRecent  = 20 // flows that ended and are shown
)

// run is one run of a flow.
type run struct {
	id    uint64
	flow  *weir.Flow
	start time.Time

	// Guarded by Monitor.mu.
	ended    bool
	final    report.Report // once it has ended
	counted  report.Report // final, with the names that metrics have
	seen     bool          // the sampler has looked at it
	shown    report.Report // its latest report, with the verdict that is shown
	polled   bool          // it ran when Watch was called: nobody reports its end
	progress []time.Time   // when each stage moved a value last

	adopted time.Time // when it was registered
	label   string    // of its metrics, if there is room for it

	// Of the sampler only.
	watcher *report.Watcher // of latest
	latest  report.Report
	looks   []look // of the last second, the oldest first
	named   string // the bottleneck of which the last event spoke
	stalled bool
	card    *Flow // once it has ended
}

// labelOf is the label of the run in metrics: where its name has nothing that may
// be one, as the path that a server answers, its sink has. Monitor.mu is held.
func (r *run) labelOf(rep report.Report) string {
	if n := len(rep.Stages); r.label == "" && n > 0 {
		r.label = cleanLabel(rep.Stages[n-1].Name)
	}
	return r.label
}

// group is a registry of transfers.
type group struct {
	name string
	t    Transfers
}

// Watch registers the current run of f, if there is one, and all later runs. Call
// done, or Close, to stop registering them.
func (m *Monitor) Watch(f *weir.Flow) (done func()) {
	if f == nil {
		return func() {}
	}
	return m.observe(func(g *weir.Flow) bool { return g == f }, f)
}

// WatchAll registers every run of a flow that begins in this process before stop or
// Close is called. This includes flows without a name, and the runs behind
// [weir.Collect] and similar functions.
func (m *Monitor) WatchAll() (stop func()) {
	return m.observe(func(*weir.Flow) bool { return true }, nil)
}

// report returns the report on f that is shown.
func (m *Monitor) report(f *weir.Flow) report.Report {
	r := f.Report()
	if m.Edit != nil {
		r = m.Edit(f, r)
	}
	return r
}

// observe registers the runs of the flows that match. If running is not nil and
// runs, it registers that run too.
func (m *Monitor) observe(match func(*weir.Flow) bool, running *weir.Flow) func() {
	s := &stop{weir.OnRun(func(f *weir.Flow) func(error) {
		if !match(f) {
			return nil
		}
		r := m.begin(f, false)
		if r == nil {
			return nil
		}
		return func(error) { m.end(r, m.report(f)) }
	})}
	if running != nil && running.Report().Running {
		m.begin(running, true)
	}
	m.mu.Lock()
	closed := m.closed
	if !closed {
		if m.stops == nil {
			m.stops = map[*stop]bool{}
		}
		m.stops[s] = true
	}
	m.mu.Unlock()
	if closed {
		s.f()
	}
	return func() {
		s.f()
		m.mu.Lock()
		delete(m.stops, s)
		var left []*run
		for _, r := range m.live {
			if r.polled && r.flow == running {
				left = append(left, r)
			}
		}
		m.mu.Unlock()
		for _, r := range left {
			m.end(r, m.report(r.flow))
		}
	}
}

// begin registers a run of f, unless it is registered. It returns nil then.
func (m *Monitor) begin(f *weir.Flow, polled bool) *run {
	t := time.Now()
	m.mu.Lock()
	old := m.live[f]
	adopted := old != nil && old.polled && !polled
	m.mu.Unlock()
	if adopted {
		if f.Report().Wall >= t.Sub(old.adopted) { // Watch saw it between its start and this call
			m.mu.Lock()
			old.polled = false
			m.mu.Unlock()
			return old
		}
		m.end(old, old.lastSeen(m)) // nobody has looked since it ended
	}
	label := cleanLabel(f.Name)
	if m.Label != nil {
		label = cleanLabel(m.Label(f.Name))
	}
	var wall time.Duration
	if polled {
		wall = f.Report().Wall
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.closed || m.live[f] != nil {
		return nil
	}
	m.lastID++
	r := &run{id: m.lastID, flow: f, start: t.Add(-wall), adopted: t, label: label, polled: polled}
	if m.live == nil {
		m.live = map[*weir.Flow]*run{}
	}
	m.live[f] = r
	m.stale = true
	m.start()
	return r
}

// lastSeen returns the latest report on r.
func (r *run) lastSeen(m *Monitor) report.Report {
	m.mu.Lock()
	defer m.mu.Unlock()
	return r.shown
}

// end records that r has ended with the report rep. Calls after the first do
// nothing.
func (m *Monitor) end(r *run, rep report.Report) {
	t := time.Now()
	counted := m.labeled(rep)
	m.mu.Lock()
	if r.ended {
		m.mu.Unlock()
		return
	}
	r.ended, r.final, r.counted = true, rep, counted
	m.stale = true
	delete(m.live, r.flow)
	r.flow = nil // it may hold much
	state := outcome(rep)
	switch state {
	case Succeeded:
		m.runs.Succeeded++
	case Failed:
		m.runs.Failed++
	case Canceled:
		m.runs.Canceled++
	}
	m.sums.fold(m.sums.labels.flow(r.labelOf(counted)), counted, state)
	m.recent = append(m.recent, r)
	if len(m.recent) > maxRecent {
		m.recent = slices.Delete(m.recent, 0, len(m.recent)-maxRecent)
	}
	var e Event
	var logged bool
	subject := "flow " + strconv.FormatUint(r.id, 10)
	switch {
	case state == Failed:
		e, logged = m.events.add(t, "failed", subject, named(rep)+" failed: "+rep.Err.Error())
	case r.seen:
		e, logged = m.events.add(t, "ended", subject, named(rep)+" "+string(state)+"; "+rep.Verdict.String())
	}
	m.mu.Unlock()
	if logged {
		m.log(e, "flow", rep.Flow, "wall", rep.Wall, "verdict", rep.Verdict.String())
	}
}

// outcome says how a flow ended.
func outcome(r report.Report) State {
	switch {
	case r.Running: // Watch has ended before it
		return Canceled
	case r.Err == nil:
		return Succeeded
	case errors.Is(r.Err, context.Canceled), errors.Is(r.Err, context.DeadlineExceeded):
		return Canceled
	}
	return Failed
}

// named is the name of a flow in events.
func named(r report.Report) string {
	if name := flowName(r); name != "" {
		return "flow " + name
	}
	return "flow"
}

// Transfers registers the transfers of a server under a name, which is short,
// is a label of metrics, and replaces an earlier registry with the same name.
// Close forgets it.
func (m *Monitor) Transfers(name string, t Transfers) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.closed {
		return
	}
	m.stale = true
	m.groups = slices.DeleteFunc(m.groups, func(g *group) bool { return g.name == name })
	if t != nil {
		m.groups = append(m.groups, &group{name, t})
		m.start()
	}
}

// TransferEnded records that a transfer of the registry name has ended. A failed
// one becomes an event: "left" if its client has left or was too slow, and else
// "failed". It does not block.
func (m *Monitor) TransferEnded(name string, t report.Transfer, err error) {
	if err == nil {
		return
	}
	now := time.Now()
	kind, what := "failed", "transfer failed"
	var network net.Error
	switch {
	case errors.Is(err, weir.ErrStalled):
		kind, what = "left", "client was too slow and was disconnected"
	case errors.Is(err, context.Canceled), errors.Is(err, io.ErrUnexpectedEOF), errors.As(err, &network):
		kind, what = "left", "client left"
	}
	text := what + " after " + weir.FormatBytes(t.Moved)
	if t.Size >= 0 {
		text += " of " + weir.FormatBytes(t.Size)
	}
	text += ": " + err.Error()
	m.mu.Lock()
	if m.closed {
		m.mu.Unlock()
		return
	}
	m.stale = true
	e, logged := m.events.add(now, kind, name+" "+strconv.FormatUint(t.ID, 10), text)
	m.mu.Unlock()
	if logged {
		m.log(e, "client", t.Client, "path", t.Name, "moved", t.Moved, "size", t.Size, "error", err)
	}
}

// Close ends the registrations of m, tells open pages that nothing follows, and
// waits for the goroutine of m. The data of m stays readable. An http.Server
// does not end open pages by itself: call Close before its Shutdown, or register
// it with RegisterOnShutdown. Calls after the first do nothing but wait.
func (m *Monitor) Close() {
	m.mu.Lock()
	stops := m.stops
	m.stops = nil
	if !m.closed {
		m.closed = true
		close(m.whenClosed())
		m.start()
	}
	l := m.loop
	m.mu.Unlock()
	for s := range stops {
		s.f()
	}
	if l != nil {
		<-l.done
	}
}

// whenClosed returns the channel that Close closes. mu is held.
func (m *Monitor) whenClosed() chan struct{} {
	if m.ended == nil {
		m.ended = make(chan struct{})
	}
	return m.ended
}

// log writes an event. mu is not held.
func (m *Monitor) log(e Event, args ...any) {
	if m.Log == nil {
		return
	}
	level := slog.LevelInfo
	if e.Kind == "failed" || e.Kind == "stalled" {
		level = slog.LevelWarn
	}
	m.Log.Log(context.Background(), level, e.Text, append([]any{"event", e.Kind}, args...)...)
}

func decimal(i int) string { return strconv.Itoa(i) }
