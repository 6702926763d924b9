package weir

import (
	"fmt"
	"slices"
	"strings"
	"sync/atomic"
)

// standstill notices when every lane of a run waits for another one. It counts
// lanes that wait in pipes, or in the window of an ordered Map, for something
// that only another lane can do. A woken lane stops counting as waiting before
// it runs. So when all lanes count, none of them can wake another.
type standstill struct {
	waiting, live atomic.Int64
	moves         atomic.Int64  // changes of the two
	found         chan struct{} // capacity 1: all lanes wait
}

// Waits is called when a lane begins to wait. A nil standstill does nothing.
func (s *standstill) Waits() {
	if s != nil {
		s.waiting.Add(1)
		s.moves.Add(1)
		s.look()
	}
}

// Woken is called by the lane that wakes another, or by a lane that has woken for
// another reason.
func (s *standstill) Woken() {
	if s != nil {
		s.moves.Add(1)
		// All lanes can still count: the woken goroutine may be one outside the run
		// that waited in a pipe of the run.
		if s.waiting.Add(-1) >= s.live.Load() {
			s.look()
		}
	}
}

// ended is called when a lane has ended.
func (s *standstill) ended() {
	s.live.Add(-1)
	s.moves.Add(1)
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

// conduitState is something that lanes wait in: a pipe, or the window of an
// ordered Map.
type conduitState interface {
	Name() string

	// Resting returns how many goroutines wait to read and to write.
	Resting() (read, write int)

	// Stirring reports whether a waiting goroutine can continue without being
	// woken by a lane, because a budget has memory again.
	Stirring() bool
}

// ownedPipe is a pipe made by the user, both halves of which were given to the
// same run.
type ownedPipe struct {
	anyPipe
	reader, writer *lane
}

// wait describes the wait of a lane.
type wait struct {
	l    *lane
	what string
	next []*lane // lanes that could wake it
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
		if read, _ := c.Resting(); read > 0 && l.At() == l.Starved() {
			return &wait{l, fmt.Sprintf("%s waits for values in %s", name, c.Name()), find(func(o *lane) bool {
				return slices.ContainsFunc(o.outs, func(out lanesEnd) bool { return conduit(out) == in })
			})}
		}
	}
	for _, out := range l.outs {
		c, ok := conduit(out).(conduitState)
		if !ok {
			continue
		}
		if _, write := c.Resting(); write > 0 && l.At() == l.Blocked() {
			return &wait{l, fmt.Sprintf("%s waits for room in %s", name, c.Name()), find(func(o *lane) bool {
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
