package monitor

import (
	"cmp"
	"encoding/json"
	"runtime/metrics"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/weir-go/weir"
	"github.com/weir-go/weir/report"
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

// sampling is the state of the goroutine that samples. There is one at a time.
type sampling struct {
	watched map[*run]bool
	listed  map[string]*listing
	metrics []metrics.Sample
	pointAt time.Time
	process Process
}

// listing is the last list of a registry of transfers.
type listing struct {
	of    Transfers
	next  time.Time
	at    time.Time
	rows  map[string]Row
	group TransferGroup
	in    float64
	out   float64
	about // of which there is a sentence
}

// about is the transfer that the sentence of a registry is about: the one that has
// waited longest.
type about struct {
	id     uint64 // 0: none
	judge  *judge // of its reports
	worst  string // the sentence
	state  State
	since  time.Time // since when it has held; zero: from the start
	coming uint64    // has waited longest now
	came   time.Time // since when
}

// sampled is one snapshot, and the data by which viewers compare it.
type sampled struct {
	*Snapshot
	at   time.Time
	tree func() map[string]any // its JSON
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

func (l *loop) wake() {
	l.slow = false
	select {
	case l.kick <- struct{}{}:
	default:
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

// Snapshot returns the current snapshot of m: at most 100 ms old.
func (m *Monitor) Snapshot() *Snapshot { return m.take().Snapshot }

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

// note records the latest report and when each stage moved something. Monitor.mu
// is held.
func (r *run) note(rep report.Report, t time.Time) {
	for i := range rep.Stages {
		if i >= len(r.progress) {
			r.progress = append(r.progress, time.Time{})
		}
		if was := r.shown; i < len(was.Stages) && moved(rep, was, i) || rep.Stages[i].In+rep.Stages[i].Out > 0 && i >= len(was.Stages) {
			r.progress[i] = t
		}
	}
	r.shown = rep
}

// lastProgress is when any stage moved a value last, or when the run was
// registered.
func (r *run) lastProgress() time.Time {
	last := r.adopted
	for _, t := range r.progress {
		if t.After(last) {
			last = t
		}
	}
	return last
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

func (m *Monitor) event(t time.Time, kind, subject, text string, args ...any) {
	m.mu.Lock()
	e, ok := m.events.add(t, kind, subject, text)
	m.mu.Unlock()
	if ok {
		m.log(e, args...)
	}
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
	if t.Before(l.next) {
		return l
	}
	began := time.Now()
	totals, top := g.t.Totals(), g.t.Top(maxRows)
	was, span := l.group.Totals, t.Sub(l.at).Seconds()
	rows := make(map[string]Row, len(top))
	for _, x := range top {
		id := strconv.FormatUint(x.ID, 10)
		row := Row{
			Kind: kindOf(x), Method: x.Method, Name: x.Name, Client: x.Client, Start: unix(x.Start),
			Size: x.Size, Moved: x.Moved, Unsent: x.Unsent, State: x.State, Waited: seconds(x.Waited.Round(100 * time.Millisecond)),
		}
		if old, ok := l.rows[id]; ok && span > 0 {
			row.Rate = threeDigits(float64(x.Moved-old.Moved) / span)
		} else if age := t.Sub(x.Start).Seconds(); age > 0.1 {
			row.Rate = threeDigits(float64(x.Moved) / age)
		}
		rows[id] = row
	}
	l.in, l.out = 0, 0
	if !l.at.IsZero() && span > 0 {
		l.in, l.out = float64(max(0, totals.BytesIn-was.BytesIn))/span, float64(max(0, totals.BytesOut-was.BytesOut))/span
	}
	l.rows = rows
	l.group = TransferGroup{Totals: totals, Rows: rows, Hidden: max(0, totals.Active-int64(len(rows)))}
	l.look(g.t, top, t)
	l.at = t
	l.next = t.Add(max(listEvery-tick/2, listCost*time.Since(began)))
	return l
}

// look makes the sentence about one of the transfers, those that have waited
// longest first. It stays with one until another has waited longest for as long as
// a verdict must hold, and its verdict is held as that on a flow is.
func (a *about) look(of Transfers, top []report.Transfer, t time.Time) {
	a.worst, a.state = "", ""
	if len(top) == 0 {
		a.id, a.judge = 0, nil
		return
	}
	if a.coming != top[0].ID {
		a.coming, a.came = top[0].ID, t
	}
	at := slices.IndexFunc(top, func(x report.Transfer) bool { return x.ID == a.id })
	if at < 0 || at > 0 && t.Sub(a.came) >= report.Hold {
		at = 0
		a.id, a.judge, a.since = top[0].ID, new(judge), time.Time{}
	}
	rep, ok := of.ReportOf(a.id)
	if !ok {
		return // it has just ended
	}
	rep, a.since = a.judge.look(rep)
	a.worst, a.state = transferSentence(top[at], rep)
}

// transferSentence describes the transfer that has waited longest.
func transferSentence(x report.Transfer, rep report.Report) (string, State) {
	text := rep.Verdict.String()
	state := KeepingUp
	if rep.Verdict.WaitingShare > heldBack || strings.Contains(x.State, "client") {
		state = PushingBack
	}
	if rep.Verdict.Measuring {
		state = Measuring
	}
	return "client " + x.Client + ": " + text, state
}

func kindOf(x report.Transfer) string {
	if x.Upload {
		return "upload"
	}
	return "download"
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
