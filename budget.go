package weir

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
)

// Budget is an amount of memory, in bytes, that the flows which name it share.
//
// Before a flow opens anything, it takes what it needs to run at all: what its
// stages hold, and a reserve for each of its pipes. It waits for that, and flows
// get it in the order in which they asked. Beyond its reserve, a pipe takes
// memory as it fills and gives it back as it empties. A pipe that gets no more
// memory behaves as if it were full. While a flow waits to start, no pipe gets
// more than it has.
//
// A pipe that is empty can always take one value, however large, even if the
// budget is used up. So a flow that has started never waits for another flow's
// memory in order to go on, and the budget is exceeded by at most one value for
// each pipe. Used and Peak count these values. They do not count a value that a
// stage or worker has just made: see Holders in [report.Ceiling].
//
// A budget cannot know that two flows which run apart depend on each other, as
// when one writes to a pipe that the other reads. If there is room for only one
// of them, it waits for the other, which waits for memory. Run such flows
// together with [Join], which takes the memory of all of them before it starts
// any.
//
// A Budget may be used concurrently. Make one with [NewBudget].
type Budget struct {
	serial  int64 // the order in which budgets were made
	mu      sync.Mutex
	total   int64
	used    int64
	peak    int64
	queue   []*budgetWait       // flows that wait to start, first come first served
	waiting map[*share]struct{} // pipes that were refused
}

type budgetWait struct {
	n     int64
	ready chan struct{}
}

// NewBudget makes a budget of n bytes.
func NewBudget(n int64) *Budget { return &Budget{total: n, serial: budgets.Add(1)} }

var budgets atomic.Int64 // how many have been made

// Total returns the size of the budget in bytes.
func (b *Budget) Total() int64 { return b.total }

// Used returns how much is taken now, in bytes.
func (b *Budget) Used() int64 {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.used
}

// Peak returns the most that was ever taken, in bytes.
func (b *Budget) Peak() int64 {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.peak
}

// Acquire waits until n bytes are free and takes them. Requests are served in
// order. It returns an error that matches [ErrBudget] if the budget is smaller
// than n, an error if n is negative, and the cause of ctx when ctx ends first.
// Give the bytes back with Release.
func (b *Budget) Acquire(ctx context.Context, n int64) error {
	return b.acquire(ctx, "", n)
}

// acquire is Acquire for a caller that the error is to name.
func (b *Budget) acquire(ctx context.Context, who string, n int64) error {
	if n < 0 {
		return fmt.Errorf("weir: acquire: negative amount %s", FormatBytes(n))
	}
	if n > b.total {
		return &budgetError{who, n, b.total}
	}
	w := b.ask(n)
	if w == nil {
		return nil
	}
	select {
	case <-w.ready:
		return nil
	case <-ctx.Done():
		b.quit(w)
		return context.Cause(ctx)
	}
}

// ask takes n bytes and returns nil, or returns what to wait for.
func (b *Budget) ask(n int64) *budgetWait {
	b.mu.Lock()
	defer b.mu.Unlock()
	if len(b.queue) == 0 && b.used+n <= b.total {
		b.take(n)
		return nil
	}
	w := &budgetWait{n, make(chan struct{})}
	b.queue = append(b.queue, w)
	return w
}

// quit takes w out of the queue, or gives back what came at the same moment.
func (b *Budget) quit(w *budgetWait) {
	b.mu.Lock()
	i := slices.Index(b.queue, w)
	if i >= 0 {
		b.queue = slices.Delete(b.queue, i, i+1)
	}
	b.mu.Unlock()
	if i >= 0 {
		b.Release(0) // the next in the queue may fit
	} else {
		b.Release(w.n)
	}
}

func (b *Budget) take(n int64) {
	b.used += n
	b.peak = max(b.peak, b.used)
}

// takeFor takes up to most bytes for s, but not less than least, and returns how
// many it took. If fewer than least are free, or a flow waits to start, it takes
// none. If s cannot do without, which a positive least says, it is then woken
// when there may be more.
func (b *Budget) takeFor(s *share, least, most int64) int64 {
	b.mu.Lock()
	defer b.mu.Unlock()
	free := b.total - b.used
	if len(b.queue) > 0 || free < max(1, least) {
		if least > 0 {
			if b.waiting == nil {
				b.waiting = make(map[*share]struct{})
			}
			b.waiting[s] = struct{}{}
		}
		return 0
	}
	n := min(most, free)
	b.take(n)
	return n
}

// exceed takes n bytes whether they are free or not.
func (b *Budget) exceed(n int64) {
	b.mu.Lock()
	b.take(n)
	b.mu.Unlock()
}

// Release gives n bytes back. It panics if n is negative or more than is taken.
func (b *Budget) Release(n int64) {
	b.mu.Lock()
	if n < 0 || n > b.used {
		used := b.used
		b.mu.Unlock()
		panic(fmt.Sprintf("weir: release of %s from a budget of which %s are taken", FormatBytes(n), FormatBytes(used)))
	}
	b.used -= n
	for len(b.queue) > 0 && b.used+b.queue[0].n <= b.total {
		w := b.queue[0]
		b.queue = b.queue[1:]
		b.take(w.n)
		close(w.ready)
	}
	if len(b.queue) == 0 && b.used < b.total {
		for s := range b.waiting {
			select {
			case s.park <- struct{}{}:
			default: // it has a wake-up coming already
			}
		}
		clear(b.waiting)
	}
	b.mu.Unlock()
}

// budgetError says that a budget is smaller than what somebody needs.
type budgetError struct {
	who         string // "flow", "flow a"; empty for a caller of Acquire
	need, total int64
}

func (e *budgetError) Error() string {
	if e.who == "" {
		return fmt.Sprintf("weir: %s needed but the budget is only %s", FormatBytes(e.need), FormatBytes(e.total))
	}
	return fmt.Sprintf("weir: %s needs %s but its budget is only %s", e.who, FormatBytes(e.need), FormatBytes(e.total))
}

func (e *budgetError) Unwrap() error { return ErrBudget }

// share is one pipe's part of a budget. The pipe's lock guards it.
type share struct {
	b       *Budget
	reserve int64         // taken and given back by the flow
	granted int64         // reserve, and what was taken beyond it
	quantum int64         // how much is asked for at a time
	park    chan struct{} // wakes the pipe's writer; capacity 1
	closed  bool
}

// grant returns how many bytes the pipe may hold. If that is less than most, it
// asks the budget for more. If it is less than least after that, the budget
// wakes the pipe's writer when there may be more.
func (s *share) grant(least, most int64) int64 {
	if most > s.granted && !s.closed {
		s.granted += s.b.takeFor(s, least-s.granted, max(most-s.granted, s.quantum))
	}
	return s.granted
}

// cover takes what a pipe that holds n bytes was not granted: the one value
// that an empty pipe may always take.
func (s *share) cover(n int64) {
	if n > s.granted && !s.closed {
		s.b.exceed(n - s.granted)
		s.granted = n
	}
}

// trim gives back what a pipe that holds n bytes does not need soon, and
// reports whether that is anything.
func (s *share) trim(n int64) bool {
	keep := max(s.reserve, n+s.quantum)
	if n == 0 {
		keep = s.reserve
	} else if s.granted <= keep+s.quantum {
		return false
	}
	if s.granted <= keep {
		return false
	}
	s.b.Release(s.granted - keep)
	s.granted = keep
	return true
}

// close gives back everything but the reserve.
func (s *share) close() {
	if !s.closed {
		s.closed = true
		if s.granted > s.reserve {
			s.b.Release(s.granted - s.reserve)
			s.granted = s.reserve
		}
	}
}
