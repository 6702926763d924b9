package flows_test

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"

	"github.com/weir-go/weir"
)

// A random flow carries values that stand for numbers, their keys. The model of
// the flow is sequential: the keys that are at some place of it, in order.

// model says what must arrive at one place of a flow.
type model struct {
	keys  []int
	loose bool // in any order
	lossy bool // some may be left out in a good run too
	cut   bool // the fault of the flow comes behind keys
	short bool // and keeps an unknown part of them back
	sated bool // a step had enough before the fault: everything after it ends without an error
}

// exact reports whether keys are all that arrives, in this order, whatever
// happens elsewhere.
func (m *model) exact() bool { return !m.loose && !m.lossy }

// check compares what arrived with the model. err is what the flow ended with,
// and stopped that it was told to take no more input.
func (m *model) check(got []int, err error, stopped bool) error {
	whole := !m.lossy && !stopped && (err == nil || m.cut && !m.short)
	want := m.keys
	for i, k := range got {
		if k < 0 {
			return fmt.Errorf("value %d of %d is damaged", i, len(got))
		}
	}
	if m.loose {
		got, want = slices.Clone(got), slices.Clone(want)
		slices.Sort(got)
		slices.Sort(want)
	}
	switch {
	case whole && !slices.Equal(got, want):
		return fmt.Errorf("got %d values, want %d: %s (the flow ended with %v)", len(got), len(want), firstDifference(got, want), err)
	case m.loose || m.lossy:
		at := 0
		for i, k := range got {
			for at < len(want) && want[at] != k {
				at++
			}
			if at == len(want) {
				return fmt.Errorf("value %d of %d, %d, is not expected there", i, len(got), k)
			}
			at++
		}
	case len(got) > len(want) || !slices.Equal(got, want[:len(got)]):
		return fmt.Errorf("got %d values, want a beginning of %d: %s", len(got), len(want), firstDifference(got, want))
	}
	return nil
}

func firstDifference(got, want []int) string {
	for i := range min(len(got), len(want)) {
		if got[i] != want[i] {
			return fmt.Sprintf("value %d is %d, want %d", i, got[i], want[i])
		}
	}
	return fmt.Sprintf("the first %d are the same", min(len(got), len(want)))
}

// apply replaces the keys by those that f makes of each.
func (m *model) apply(f func(k int) []int) {
	out := make([]int, 0, len(m.keys))
	for _, k := range m.keys {
		out = append(out, f(k)...)
	}
	m.keys = out
}

// enough records that a step needs no more input and ends everything upstream.
// Then it depends on chance whether the fault there happens.
func (g *gen) enough(m *model) {
	if m.cut {
		g.fault.optional, m.sated = true, true
	}
	g.leaves = true
}

// how says what a user function does when its moment comes.
type how int

const (
	fails   how = iota // it returns an error
	panics             // it panics
	cancels            // it ends the context of the flow
	stops              // it returns ErrStop
	joins              // it returns ErrStop joined with an error
	halts              // it tells the flow to take no more input
)

func (h how) String() string {
	return [...]string{"fails", "panics", "cancels", "returns ErrStop", "returns ErrStop and an error", "stops the flow"}[h]
}

// fault is what goes wrong in a flow.
type fault struct {
	how      how
	where    string
	err      error // what the flow's error must match
	optional bool  // the flow may end before it happens
	early    bool  // it happens before anything runs
	late     bool  // it happens after all has arrived
}

func (f *fault) String() string {
	if f == nil {
		return "none"
	}
	s := fmt.Sprintf("%s %v", f.where, f.how)
	if f.optional {
		s += " (it may come too late)"
	}
	return s
}

// strike is a moment at which a user function may do something else than its
// work. A nil strike is no such moment.
type strike struct {
	how how
	at  int // index or key
	g   *gen
}

// now does it if n is the moment.
func (s *strike) now(n int) error {
	if s == nil || n != s.at {
		return nil
	}
	switch s.how {
	case panics:
		panic(s.g.fault.err)
	case cancels:
		s.g.cancel(s.g.fault.err)
		return nil
	case halts:
		s.g.halt()
		return nil
	case stops:
		return weir.ErrStop
	case joins:
		return errors.Join(weir.ErrStop, s.g.fault.err)
	}
	return s.g.fault.err
}

// due reports whether the fault of the flow is to happen at this place, of which
// a flow has many.
func (g *gen) due() bool {
	if g.site < 0 {
		return false
	}
	g.site--
	return g.site < 0
}

func pick[T any](r *rand.Rand, from ...T) T { return from[r.IntN(len(from))] }

// strikeIndex is for sources, which yield len(m.keys) values. It cuts the model
// where the source stops.
func (g *gen) strikeIndex(where string, m *model, can ...how) *strike {
	if !g.due() {
		return nil
	}
	s := &strike{how: pick(g.rand, can...), at: g.rand.IntN(len(m.keys) + 1), g: g}
	where = fmt.Sprintf("%s, at value %d of %d,", where, s.at, len(m.keys))
	g.strikes(s, where, m, s.at)
	return s
}

// strikeKey is for functions that are called with the values of m.
func (g *gen) strikeKey(where string, m *model, can ...how) *strike {
	return g.strikeAmong(where, m, len(m.keys), can...)
}

// strikeAmong is strikeKey for functions that are called with the first calls
// values of m only.
func (g *gen) strikeAmong(where string, m *model, calls int, can ...how) *strike {
	if calls == 0 || calls < len(m.keys) && !m.exact() || !g.due() {
		return nil
	}
	s := &strike{how: pick(g.rand, can...), at: m.keys[g.rand.IntN(calls)], g: g}
	i := slices.Index(m.keys, s.at)
	where = fmt.Sprintf("%s, at value %d of %d,", where, i, len(m.keys))
	g.strikes(s, where, m, i)
	return s
}

func (g *gen) strikes(s *strike, where string, m *model, i int) {
	g.text = append(g.text, fmt.Sprintf("%s %v", where, s.how))
	if s.how == stops {
		g.enough(m)
		if m.exact() {
			m.keys = slices.Clip(m.keys[:i])
		}
		m.lossy = m.lossy || !m.exact()
		return
	}
	g.fault = &fault{how: s.how, where: where, err: fmt.Errorf("injected into flow %d", g.seed)}
	switch s.how {
	case cancels, halts:
		g.fault.optional = true
		return
	case panics:
		m.short = true
	}
	g.fault.optional = m.lossy
	if m.exact() {
		m.keys = slices.Clip(m.keys[:i])
	} else {
		m.short = true
	}
	m.cut = true
}

// strikeEnd is a failure behind the last value, of closing or flushing.
func (g *gen) strikeEnd(where string, m *model) error {
	if !g.due() {
		return nil
	}
	g.text = append(g.text, where+" fails")
	// Closing does not undo what went wrong or was enough before.
	g.fault = &fault{how: fails, where: where, err: fmt.Errorf("injected into flow %d", g.seed), optional: g.leaves}
	m.cut = true
	return g.fault.err
}

// strikeOpen is a failure before anything runs, or within a part of Concat when
// its turn has come.
func (g *gen) strikeOpen(where string, m *model) error {
	if !g.due() {
		return nil
	}
	g.text = append(g.text, where+" fails")
	g.fault = &fault{how: fails, where: where, err: fmt.Errorf("injected into flow %d", g.seed), early: g.nested == 0}
	m.keys, m.cut = nil, true
	return g.fault.err
}
