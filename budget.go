package weir

import (
	"context"
	"fmt"
	"sync"
	"sync/atomic"
)

// Budget is an amount of memory, in bytes, shared by the flows that name it.
// What they hold together never exceeds it: what a flow needs to move at all
// (its stages, and a reserve for each of its pipes) is taken before it opens
// anything, and flows wait for one another there; what pipes hold beyond their
// reserve is taken as they fill, and a pipe that gets nothing behaves as if it
// were full. Since every pipe can always move with its reserve, flows that
// share a budget cannot stop one another for good.
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
// order. It returns [ErrBudget] if the budget is smaller than n, and the cause
// of ctx when it ends first. Give the bytes back with Release.
func (b *Budget) Acquire(ctx context.Context, n int64) error {
	b.mu.Lock()
	if n > b.total {
		b.mu.Unlock()
		return fmt.Errorf("%w: it has %s and %s are needed", ErrBudget, FormatBytes(b.total), FormatBytes(n))
	}
	if len(b.queue) == 0 && b.used+n <= b.total {
		b.take(n)
		b.mu.Unlock()
		return nil
	}
	w := &budgetWait{n, make(chan struct{})}
	b.queue = append(b.queue, w)
	b.mu.Unlock()
	select {
	case <-w.ready:
		return nil
	case <-ctx.Done():
	}
	b.mu.Lock()
	for i, q := range b.queue {
		if q == w {
			b.queue = append(b.queue[:i], b.queue[i+1:]...)
			b.mu.Unlock()
			b.Release(0) // the next in the queue may fit
			return context.Cause(ctx)
		}
	}
	b.mu.Unlock()
	b.Release(n) // it came at the same moment
	return context.Cause(ctx)
}

func (b *Budget) take(n int64) {
	b.used += n
	b.peak = max(b.peak, b.used)
}

// tryTake takes n bytes if they are free and no flow waits to start.
func (b *Budget) tryTake(n int64, s *share) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	if len(b.queue) > 0 || b.used+n > b.total {
		if b.waiting == nil {
			b.waiting = make(map[*share]struct{})
		}
		b.waiting[s] = struct{}{}
		return false
	}
	b.take(n)
	return true
}

// Release gives n bytes back.
func (b *Budget) Release(n int64) {
	b.mu.Lock()
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

// share is one pipe's part of a budget. The pipe's lock guards it.
type share struct {
	b       *Budget
	reserve int64         // always granted; taken and given back by the flow
	granted int64         // reserve, and what was taken beyond it
	quantum int64         // how much is asked for at a time
	park    chan struct{} // wakes the pipe's writer; capacity 1
	closed  bool
}

// grant reports whether the pipe may hold n bytes.
func (s *share) grant(n int64) bool {
	if n <= s.granted {
		return true
	}
	if s.closed {
		return false
	}
	more := n - s.granted
	if q := max(more, s.quantum); s.b.tryTake(q, s) {
		s.granted += q
		return true
	}
	if more < s.quantum && s.b.tryTake(more, s) {
		s.granted += more
		return true
	}
	return false
}

// trim gives back what a pipe that holds n bytes does not need soon.
func (s *share) trim(n int64) {
	if keep := max(s.reserve, n+s.quantum); s.granted > keep+s.quantum || n == 0 && s.granted > s.reserve {
		if n == 0 {
			keep = s.reserve
		}
		s.b.Release(s.granted - keep)
		s.granted = keep
	}
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
