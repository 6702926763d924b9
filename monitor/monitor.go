package monitor

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"net"
	"net/http"
	"runtime/metrics"
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

const (
	tick      = 250 * time.Millisecond // between samples while something runs or is watched
	slowTick  = time.Second            // while there are only registries of transfers
	fresh     = 100 * time.Millisecond // a younger sample answers a request
	rateSpan  = time.Second            // that rates and shares are about
	stallTime = 5 * time.Second        // without progress
	listEvery = time.Second            // between lists of transfers
	listCost  = 100                    // listing takes at most this part of the time
)

// loop is one life of the goroutine that samples.
type loop struct {
	kick chan struct{} // capacity 1: sample now
	done chan struct{} // closed when it has ended
	slow bool          // it waits for slowTick; guarded by Monitor.mu
}

func (l *loop) wake() {
	l.slow = false
	select {
	case l.kick <- struct{}{}:
	default:
	}
}

// sampling is the state of the goroutine that samples. There is one at a time.
type sampling struct {
	watched map[*run]bool
	listed  map[string]*listing
	metrics []metrics.Sample
	pointAt time.Time
	process Process
}

// sampled is one snapshot, and the data by which viewers compare it.
type sampled struct {
	*Snapshot
	at   time.Time
	tree func() map[string]any // its JSON
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

// Snapshot returns the current snapshot of m: at most 100 ms old.
func (m *Monitor) Snapshot() *Snapshot { return m.take().Snapshot }

// Metrics returns the metrics of m: of current runs and, added up, of runs that
// have ended. Counters never go down. The number of series is bounded: see the
// package comment.
func (m *Monitor) Metrics() []Family {
	m.mu.Lock()
	all := m.sums.clone()
	live := make([]*run, 0, len(m.live))
	flows := make([]*weir.Flow, 0, len(m.live))
	for f, r := range m.live {
		live, flows = append(live, r), append(flows, f)
	}
	groups := slices.Clone(m.groups)
	m.mu.Unlock()

	reports := make([]report.Report, len(live))
	for i, f := range flows {
		reports[i] = m.labeled(m.report(f))
	}
	gauges := map[string]*flowGauges{}
	m.mu.Lock()
	all.labels = m.sums.labels
	slicesByID(live, reports)
	for i, r := range live {
		rep := reports[i]
		if r.ended { // the flow may have begun another run
			rep = r.counted
		}
		label := all.labels.flow(r.labelOf(rep))
		all.add(label, rep, r.progress)
		if r.ended {
			if all.runs == nil {
				all.runs = map[pair]int64{}
			}
			all.runs[pair{label, string(outcome(rep))}]++
			continue
		}
		g := entryOf(gauges, label)
		g.running++
		g.used += rep.Held
		g.limit += rep.Ceiling
		g.bottleneck = bottleneck(r.shown.Verdict)
		if len(r.shown.Stages) == 0 {
			g.bottleneck = "measuring"
		}
	}
	m.sums.labels = all.labels
	m.mu.Unlock()
	for _, g := range gauges {
		if m.LabelPart != nil && !notStages[g.bottleneck] {
			g.bottleneck = m.LabelPart(g.bottleneck)
		}
	}
	list := all.families(gauges)
	if m.Budget != nil {
		list = append(list,
			single("weir_budget_used_bytes", "Memory that flows and transfers have taken from the shared budget.", float64(m.Budget.Used())),
			single("weir_budget_limit_bytes", "Size of the shared budget.", float64(m.Budget.Total())))
	}
	return append(list, transferFamilies(groups)...)
}

// Handler returns a handler that shows the data of m. Mount it at a path that
// ends with a slash. Below that it answers at
//
//	(nothing)      the page, for people
//	status.txt     the same as text
//	status.json    a [Snapshot]
//	events         the snapshot and then its changes, as server-sent events
//	history.json   the last 10 minutes
//	transfer.json  the report on one transfer: ?group=NAME&id=NUMBER
//	metrics        metrics in the text format of Prometheus
//	trace          an execution trace: POST starts to record, GET saves the last seconds
//
// All but POST of trace changes nothing. See the section Trace of the package
// documentation.
func (m *Monitor) Handler(o HandlerOptions) http.Handler {
	if o.Allow == nil {
		o.Allow = Local
	}
	return handler{m, o.Allow}
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

// labeled returns r with the names of stages and pipes that LabelPart makes.
func (m *Monitor) labeled(r report.Report) report.Report {
	if m.LabelPart == nil {
		return r
	}
	r.Stages, r.Pipes = slices.Clone(r.Stages), slices.Clone(r.Pipes)
	for i := range r.Stages {
		r.Stages[i].Name = m.LabelPart(r.Stages[i].Name)
	}
	for i := range r.Pipes {
		r.Pipes[i].Name = m.LabelPart(r.Pipes[i].Name)
	}
	return r
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

func (m *Monitor) event(t time.Time, kind, subject, text string, args ...any) {
	m.mu.Lock()
	e, ok := m.events.add(t, kind, subject, text)
	m.mu.Unlock()
	if ok {
		m.log(e, args...)
	}
}

func decimal(i int) string { return strconv.Itoa(i) }

// enter registers a viewer. It returns nil if there are too many, or m is closed.
func (m *Monitor) enter() *viewer {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.closed || len(m.viewers) >= maxViewers {
		return nil
	}
	if m.viewers == nil {
		m.viewers = map[*viewer]bool{}
	}
	v := &viewer{slot: make(chan *sampled, 1)}
	m.viewers[v] = true
	if m.loop == nil {
		m.start()
	} else {
		m.loop.wake()
	}
	return v
}

// whenClosed returns the channel that Close closes. mu is held.
func (m *Monitor) whenClosed() chan struct{} {
	if m.ended == nil {
		m.ended = make(chan struct{})
	}
	return m.ended
}

func (m *Monitor) leave(v *viewer) {
	m.mu.Lock()
	defer m.mu.Unlock()
	delete(m.viewers, v)
}

// over returns a channel that is closed when m is.
func (m *Monitor) over() <-chan struct{} {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.whenClosed()
}

// start makes sure that the goroutine runs. mu is held.
func (m *Monitor) start() {
	if m.loop == nil {
		m.loop = &loop{kick: make(chan struct{}, 1), done: make(chan struct{})}
		go m.run(m.loop)
	} else if m.loop.slow || m.closed {
		m.loop.wake()
	}
}

// run samples until there is nothing to look at.
func (m *Monitor) run(l *loop) {
	defer close(l.done)
	timer := time.NewTimer(0)
	defer timer.Stop()
	<-timer.C
	for {
		m.mu.Lock()
		asks := m.asks // those that come during the sample want a later one
		m.asks = nil
		m.mu.Unlock()
		s := m.sample()
		m.mu.Lock()
		m.latest = s
		if s.Closed {
			asks = append(asks, m.asks...)
			m.asks = nil
		}
		for v := range m.viewers {
			v.put(s)
		}
		busy := len(m.live) > 0 || len(m.viewers) > 0
		over := s.Closed || !busy && len(m.groups) == 0 && !m.closed && len(m.asks) == 0
		if over && !s.Closed {
			m.loop = nil // Close waits for the last one
		}
		l.slow = !busy
		wait := tick
		if l.slow {
			wait = slowTick
		}
		m.mu.Unlock()
		for _, ask := range asks {
			ask <- s
		}
		if over {
			return
		}
		timer.Reset(wait)
		select {
		case <-timer.C:
		case <-l.kick:
		}
	}
}

// take returns a fresh sample, by starting the goroutine if it must.
func (m *Monitor) take() *sampled {
	m.mu.Lock()
	if m.latest != nil && (m.latest.Closed || m.loop != nil && !m.stale && time.Since(m.latest.at) < fresh) {
		defer m.mu.Unlock()
		return m.latest
	}
	ask := make(chan *sampled, 1)
	m.asks = append(m.asks, ask)
	if m.loop == nil {
		m.start()
	} else {
		m.loop.wake()
	}
	m.mu.Unlock()
	return <-ask
}

// sample looks at everything.
func (m *Monitor) sample() *sampled {
	t := time.Now()
	m.mu.Lock()
	m.stale = false
	shown := m.choose()
	flows := make([]*weir.Flow, len(shown)) // end clears them
	for i, r := range shown {
		flows[i] = r.flow
		r.seen = true
	}
	m.mu.Unlock()

	s := &Snapshot{V: Version, Time: unix(t), Program: program, Flows: map[string]Flow{}, Transfers: map[string]TransferGroup{}}
	var live []subject
	for i, r := range shown {
		if f, ok := m.look(r, flows[i], t); ok {
			s.Flows[strconv.FormatUint(r.id, 10)] = f
			live = append(live, subject{"flow " + strconv.FormatUint(r.id, 10), f.State, f.Sentence, f.Since, f.Start})
			s.Memory.Used += f.Used
			s.Memory.Limit += f.Ceiling + int64(f.Holders)*f.Largest
			addRates(s, f)
		}
	}

	m.mu.Lock()
	recent := slices.Clone(m.recent)
	groups := slices.Clone(m.groups)
	m.mu.Unlock()
	for _, g := range groups {
		l := m.list(g, t)
		s.Transfers[g.name] = l.group
		s.In += l.in
		s.Out += l.out
		if l.worst != "" {
			live = append(live, subject{g.name + " " + strconv.FormatUint(l.id, 10), l.state, l.worst, unix(l.since), l.group.Rows[strconv.FormatUint(l.id, 10)].Start})
		}
	}
	for name := range m.listed {
		if !slices.ContainsFunc(groups, func(g *group) bool { return g.name == name }) {
			delete(m.listed, name)
		}
	}
	var last *Flow
	for _, r := range recent {
		if r.card == nil {
			f := flowOf(r, look{r: r.final}, look{})
			f.State, f.Sentence, f.Verdict = outcome(r.final), r.final.Verdict.String(), verdictOf(r.final)
			f.Running = false
			r.card, r.watcher, r.looks = &f, nil, nil
		}
		s.Flows[strconv.FormatUint(r.id, 10)] = *r.card
		last = r.card
	}
	s.In, s.Out = threeDigits(s.In), threeDigits(s.Out)
	if m.Budget != nil {
		s.Memory = Memory{Used: m.Budget.Used(), Limit: m.Budget.Total()}
	}
	s.headline(live, last)

	m.mu.Lock()
	s.Running, s.Runs, s.Events = len(m.live), m.runs, m.events.all()
	s.Viewers, s.Closed = len(m.viewers), m.closed
	m.mu.Unlock()
	if t.Sub(m.pointAt) >= historyStep-tick/2 || s.Closed {
		m.pointAt = t
		m.measure()
		s.Process = m.process
		m.history.add(t, pointOf(s))
	}
	s.Process = m.process
	return &sampled{Snapshot: s, at: t, tree: sync.OnceValue(func() map[string]any { return treeOf(s) })}
}

func addRates(s *Snapshot, f Flow) {
	for _, st := range f.Stages {
		switch {
		case st.Kind == "source" && st.OutUnit == "bytes":
			s.In += st.OutRate
		case st.Kind == "sink" && st.Unit == "bytes":
			s.Out += st.InRate
		}
	}
}

// list returns the transfers of a registry, as they were a moment ago if listing
// them costs much.
func (m *Monitor) list(g *group, t time.Time) *listing {
	l := m.listed[g.name]
	if l == nil || l.of != g.t {
		l = &listing{of: g.t}
		if m.listed == nil {
			m.listed = map[string]*listing{}
		}
		m.listed[g.name] = l
	}
	l.refresh(t)
	return l
}

// choose returns the runs to look at: those that were looked at and still run,
// and the oldest others, at most maxWatched. mu is held.
func (m *Monitor) choose() []*run {
	was := m.watched
	m.watched = map[*run]bool{}
	var list, others []*run
	for _, r := range m.live {
		if was[r] {
			list = append(list, r)
		} else {
			others = append(others, r)
		}
	}
	if len(others) > 0 && len(list) < maxWatched {
		slices.SortFunc(others, func(a, b *run) int { return cmp.Compare(a.id, b.id) })
		list = append(list, others[:min(len(others), maxWatched-len(list))]...)
	}
	slices.SortFunc(list, func(a, b *run) int { return cmp.Compare(a.id, b.id) })
	for _, r := range list {
		m.watched[r] = true
	}
	return list
}

// look looks at one run. It returns false if the run has ended.
func (m *Monitor) look(r *run, flow *weir.Flow, t time.Time) (Flow, bool) {
	if flow == nil {
		return Flow{}, false
	}
	rep := m.report(flow)
	r.latest = rep
	if r.watcher == nil {
		r.watcher = report.Watch(func() report.Report { return r.latest })
	}
	held, since := r.watcher.Look()
	m.mu.Lock()
	if r.ended { // rep may be of another run
		m.mu.Unlock()
		return Flow{}, false
	}
	if !rep.Running {
		polled := r.polled
		m.mu.Unlock()
		if polled {
			m.end(r, rep)
		}
		return Flow{}, false // else end is about to be called
	}
	rep.Verdict = held.Verdict
	first := r.looks == nil
	r.note(rep, t)
	m.mu.Unlock()

	was := look{}
	if !first {
		was = r.looks[0]
	}
	now := look{t, rep}
	r.looks = append(r.looks, now)
	for len(r.looks) > 1 && t.Sub(r.looks[1].at) >= rateSpan {
		r.looks = r.looks[1:]
	}
	f := flowOf(r, now, was)
	f.Sentence, f.Verdict = rep.Verdict.String(), verdictOf(rep)
	if !rep.Verdict.Measuring {
		f.Since = unix(since)
	}
	f.State = stateOf(rep, f)
	if idle := t.Sub(r.lastProgress()); idle >= stallTime {
		f.State, f.Stalled = Stalled, seconds(idle)
	}
	m.tell(r, rep, f, first, t)
	return f, true
}

// tell makes events of the changes of a run.
func (m *Monitor) tell(r *run, rep report.Report, f Flow, first bool, t time.Time) {
	id := "flow " + strconv.FormatUint(r.id, 10)
	if first {
		m.event(t, "started", id, named(rep)+" started", "flow", rep.Flow)
	}
	if now := f.Verdict.Bottleneck; now != "measuring" && now != r.named {
		text := now + " became the bottleneck of " + named(rep) + ": " + f.Sentence
		if now == "none" || now == "unknown" {
			text = named(rep) + ": " + f.Sentence
		}
		if now != "none" || r.named != "" { // having none from the start is no news
			m.event(t, "bottleneck", id, text, "flow", rep.Flow, "bottleneck", now, "verdict", f.Sentence)
		}
		r.named = now
	}
	switch stalled := f.State == Stalled; {
	case stalled && !r.stalled:
		r.stalled = true
		m.event(t, "stalled", id, named(rep)+" stalled: no progress for 5 s; "+f.Sentence, "flow", rep.Flow, "verdict", f.Sentence)
	case !stalled && r.stalled:
		r.stalled = false
		m.event(t, "resumed", id, named(rep)+" moves again", "flow", rep.Flow)
	}
}

// measure looks at the memory of the process.
func (m *Monitor) measure() {
	if m.metrics == nil {
		m.metrics = []metrics.Sample{{Name: "/memory/classes/heap/objects:bytes"}, {Name: "/sched/goroutines:goroutines"}}
	}
	metrics.Read(m.metrics)
	value := func(i int) int64 {
		if m.metrics[i].Value.Kind() != metrics.KindUint64 {
			return 0
		}
		return int64(m.metrics[i].Value.Uint64())
	}
	m.process = Process{Heap: value(0), RSS: residentMemory(), Goroutines: value(1)}
}

// treeOf returns the JSON of a snapshot as maps.
func treeOf(s *Snapshot) map[string]any {
	text, err := json.Marshal(s)
	if err != nil {
		return nil // every field of a Snapshot can be marshaled
	}
	return parseTree(text)
}
