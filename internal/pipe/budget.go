package pipe

import (
	"context"
	"fmt"
	"slices"
	"sync"

	"github.com/weir-go/weir/internal/units"
)

// Budget is an amount of memory, in bytes, that pipes and their owners share.
// The owner of a pipe acquires its reserve before it uses it. Beyond that, a
// pipe takes memory as it fills and gives it back as it empties; a pipe that
// gets no more behaves as if it were full. While a caller waits in Acquire, no
// pipe gets any more.
//
// An empty pipe can always take one value, however large, so the budget is
// exceeded by at most one value for each pipe.
//
// Callers of Acquire are served in the order in which they asked. A Budget can
// be used concurrently, and must not be copied. The zero Budget has no memory;
// see Init.
type Budget struct {
	mu      sync.Mutex
	total   int64
	used    int64
	peak    int64
	queue   []*claim            // first come, first served
	waiting map[*share]struct{} // pipes that were refused
}

// claim is a request for memory that waits.
type claim struct {
	n     int64
	ready chan struct{}
}

// Init gives a new budget its size, n bytes.
func (b *Budget) Init(n int64) { b.total = n }

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

// Acquire waits until n bytes are free and takes them. It returns the cause of
// ctx when ctx ends first. n must be from 0 to Total.
func (b *Budget) Acquire(ctx context.Context, n int64) error {
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

// ask takes n bytes and returns nil, or returns the waiter to wait for.
func (b *Budget) ask(n int64) *claim {
	b.mu.Lock()
	defer b.mu.Unlock()
	if len(b.queue) == 0 && b.used+n <= b.total {
		b.take(n)
		return nil
	}
	w := &claim{n, make(chan struct{})}
	b.queue = append(b.queue, w)
	return w
}

// quit takes w out of the queue, or gives back memory that was granted at the
// same moment.
func (b *Budget) quit(w *claim) {
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
// many it took. If fewer than least are free, or a claim waits, it takes none. If
// s cannot do without, which a positive least says, it is then woken when there
// may be more.
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
		panic(fmt.Sprintf("weir: release of %s from a budget of which %s are taken", units.Bytes(n), units.Bytes(used)))
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

// share is one pipe's part of a budget. The pipe's lock guards it.
type share struct {
	b       *Budget
	reserve int64         // taken and given back by the pipe's owner
	granted int64         // reserve, and the bytes taken beyond it
	quantum int64         // bytes to ask for at a time
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

// cover takes the bytes that a pipe that holds n bytes was not granted: the one
// value that an empty pipe may always take.
func (s *share) cover(n int64) {
	if n > s.granted && !s.closed {
		s.b.exceed(n - s.granted)
		s.granted = n
	}
}

// trim gives back the bytes that a pipe that holds n bytes does not need soon,
// and reports whether there are any.
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
