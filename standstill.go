package weir

import (
	"fmt"
	"slices"
	"strings"
	"sync/atomic"
)

// standstill notices when every lane of a run waits for another one. It counts
// lanes that wait in pipes, or in the window of an ordered Map, for something
// that only another lane can do. A lane that has been woken counts as waiting no
// longer before it runs, so when all lanes count, none of them can wake another.
type standstill struct {
	waiting, live atomic.Int64
	found         chan struct{} // capacity 1: all lanes wait
}

// waits is called when a lane begins to wait. A nil standstill does nothing.
func (s *standstill) waits() {
	if s != nil {
		s.waiting.Add(1)
		s.look()
	}
}

// woken is called by the lane that wakes another, or by a lane that has woken for
// another reason.
func (s *standstill) woken() {
	if s != nil {
		// All lanes may count even so, if it was a goroutine outside the run that
		// waited in a pipe of theirs, and it has left.
		if s.waiting.Add(-1) >= s.live.Load() {
			s.look()
		}
	}
}

// ended is called when a lane has ended.
func (s *standstill) ended() {
	s.live.Add(-1)
	s.look()
}

func (s *standstill) look() {
	if s.all() {
		select {
		case s.found <- struct{}{}:
		default:
		}
	}
}

func (s *standstill) all() bool {
	n := s.live.Load()
	return n > 0 && s.waiting.Load() >= n
}

// conduitState is what lanes wait in: pipes, and the windows of ordered Maps.
type conduitState interface {
	label() string

	// resting returns how many goroutines wait to read and to write.
	resting() (read, write int)

	// stirring reports whether one of those that wait can go on although no lane
	// has woken it: a budget has memory again.
	stirring() bool
}

// deadlock returns an ErrDeadlock if the lanes of the run wait for each other and
// nothing else can wake one of them.
func (r *run) deadlock() error {
	if !r.still.all() {
		return nil
	}
	r.mu.Lock()
	live := make([]*lane, 0, len(r.live))
	for _, l := range r.plan.lanes {
		if r.live[l] {
			live = append(live, l)
		}
	}
	r.mu.Unlock()
	for _, l := range live {
		if l.ctx.Err() != nil || l.timed.Load() || !l.waits(r.owned) {
			return nil
		}
	}
	// A budget that gives memory back at this moment sends a token to those who
	// wait for it, so tokens are looked for after budgets.
	if r.held() {
		return nil
	}
	for _, e := range r.plan.edges {
		if e.stirring() {
			return nil
		}
	}
	for _, p := range r.owned {
		if read, write := p.resting(); read > 1 || write > 1 || p.stirring() {
			return nil // somebody else uses it too
		}
	}
	if !r.still.all() {
		return nil
	}
	return wrapf(r.flow.doing(), fmt.Errorf("%w: %s", ErrDeadlock, cycle(live, r.owned)))
}

// held reports whether a pipe waits for a budget of which others hold a part,
// which they can give back.
func (r *run) held() bool {
	used := map[*Budget]int64{}
	for _, n := range r.needed {
		used[n.b] += n.bytes
	}
	wait := map[*Budget]bool{}
	for _, e := range r.plan.edges {
		b, extra, waits := e.budget()
		if b != nil {
			used[b] += extra
			wait[b] = wait[b] || waits
		}
	}
	for b := range wait {
		if wait[b] && b.Used() > used[b] {
			return true
		}
	}
	return false
}

// waits reports whether the lane waits for another one: at its own pipes, or
// inside the Read or Write of a pipe whose two halves belong to the run.
func (l *lane) waits(owned []*ownedPipe) bool {
	at := l.cur.Load()
	if at == l.starved() || at == l.blocked() {
		return true
	}
	for _, p := range owned {
		if p.reader == l && at == l.spots[0].outside() || p.writer == l && at == l.spots[len(l.spots)-1].outside() {
			return true
		}
	}
	return false
}

// ownedPipe is a pipe made by the user, both halves of which were given to the
// same run.
type ownedPipe struct {
	edge
	reader, writer *lane
}

// wait is what a lane waits for.
type wait struct {
	l    *lane
	what string
	next []*lane // who could wake it
}

func waitOf(l *lane, live []*lane, owned []*ownedPipe) *wait {
	find := func(uses func(o *lane) bool) (all []*lane) {
		for _, o := range live {
			if o != l && uses(o) {
				all = append(all, o)
			}
		}
		return all
	}
	name := l.at().name
	for _, in := range l.ins {
		c, ok := in.(conduitState)
		if !ok {
			continue
		}
		if read, _ := c.resting(); read > 0 && l.cur.Load() == l.starved() {
			return &wait{l, fmt.Sprintf("%s waits for values in %s", name, c.label()), find(func(o *lane) bool {
				return slices.ContainsFunc(o.outs, func(out lanesEnd) bool { return conduit(out) == in })
			})}
		}
	}
	for _, out := range l.outs {
		c, ok := conduit(out).(conduitState)
		if !ok {
			continue
		}
		if _, write := c.resting(); write > 0 && l.cur.Load() == l.blocked() {
			return &wait{l, fmt.Sprintf("%s waits for room in %s", name, c.label()), find(func(o *lane) bool {
				return slices.Contains(o.ins, conduit(out))
			})}
		}
	}
	for _, p := range owned {
		if p.reader == l && p.writer != nil {
			return &wait{l, fmt.Sprintf("%s waits for values from %s", name, p.writer.name()), []*lane{p.writer}}
		}
		if p.writer == l && p.reader != nil {
			return &wait{l, fmt.Sprintf("%s waits for room before %s", name, p.reader.name()), []*lane{p.reader}}
		}
	}
	return nil
}

// cycle describes lanes that wait for each other in a circle.
func cycle(live []*lane, owned []*ownedPipe) string {
	var path []*wait
	for l := live[0]; ; {
		if i := slices.IndexFunc(path, func(w *wait) bool { return w.l == l }); i >= 0 {
			path = path[i:]
			break
		}
		w := waitOf(l, live, owned)
		if w == nil {
			break
		}
		path = append(path, w)
		if len(w.next) == 0 {
			break
		}
		l = w.next[0]
	}
	texts := make([]string, len(path))
	for i, w := range path {
		texts[i] = w.what
	}
	return strings.Join(texts, "; ")
}
