package weir

import (
	"io"
	"math"
	"sync"

	measure "github.com/weir-go/weir/internal/size"
)

// pipe is the bounded buffer itself; its two halves are thin.
//
// Everything is guarded by mu, which is held for a few instructions and for
// copies of at most smallCopy bytes, never while a caller's code runs or a
// goroutine waits. What takes longer (a write that has to wait for room, a
// view of the memory) holds its side's turn instead, so that several writers
// do not mix their batches and a view has one owner.
type pipe[T any] struct {
	mu sync.Mutex

	head, tail, spare *segment[T]
	pool              *sync.Pool
	segLen            int
	front             []T // put back by Unread, before everything else; not charged
	taken             int // how many values Unread may put back

	items       int   // values waiting in the segments
	quick       int   // values for which tail has room, whatever else may be; see requick
	quickCharge int64 // with a size function: and as long as they are charged no more

	// With a size function: the charge of all values that ever came in and went
	// out, and of the largest.
	chargeIn, chargeOut, largest int64

	capItems int
	capBytes int64 // only with a size function
	low      int64 // after being full, there is room again at this fill; -1: at once
	pressed  bool  // was full and has not come down to low
	size     func(T) int
	natural  measure.Meter[T] // measures several values at once, if size is not the user's
	slot     int64
	clears   bool // values may hold pointers: clear what was read
	limit    Limit

	rendezvous bool
	lossy      bool // the oldest values may be dropped: views are copies
	demand     int  // values that waiting readers asked for

	werr error // the write side was closed: io.EOF or a cause
	rerr error // the read side was closed

	w, r     side
	reserved int   // slots handed out by reserve, at the end of tail
	viewing  bool  // a view of head is handed out
	need     int64 // charge of the value that a waiting writer holds
	want     int   // values that a waiting reader needs
	stuck    bool  // a writer waits for room
	short    bool  // the last refusal of room was the budget's, not the limit's
	tryLen   int   // what the last refused tryWrite needed
	tryCost  int64
	share    *share
	maxValue int64       // of the flow; 0: none
	still    *standstill // of the run that both halves belong to; nil: not known
	name     string      // "read → gzip", in a flow
	onHangup func(error) // called once, without mu, when the reader goes
	totalOut int64
	peak     int64
	dropped  int64
	lost     int64 // values that came in and were not read: overwritten, or left at the end
}

// smallCopy is how many bytes may be copied while mu is held; larger copies
// take the turn and are made outside.
const smallCopy = 1 << 10

func newPipe[T any](c PipeOptions[T]) (*pipe[T], error) { return makePipe(c, false) }

// makePipe is newPipe that, if weighs is set, also measures the values of a pipe
// whose limit does not need it, for the sake of a budget.
func makePipe[T any](c PipeOptions[T], weighs bool) (*pipe[T], error) {
	if err := c.Limit.check(); err != nil {
		return nil, err
	}
	if c.LowWater < 0 {
		return nil, errNegativeLowWater
	}
	l := withDefaults[T](c.Limit)
	size := c.Size
	if size == nil {
		size = naturalSize[T]()
	}
	p := &pipe[T]{limit: l, size: size, slot: slotSize[T](), clears: hasPointers[T](), low: -1, tryLen: 1, tryCost: slotSize[T]()}
	if c.LowWater > 0 {
		p.low = c.LowWater
	}
	const unbounded = 1 << 62
	n := int64(unbounded)
	if p.size == nil {
		weighs = false
	} else if c.Size == nil {
		p.natural = measure.MeterOf[T]()
	}
	if l.hasItems {
		n = l.items
	}
	if l.hasBytes {
		if size == nil {
			n = min(n, max(l.bytes/p.slot, min(l.bytes, 1)))
			if p.low >= 0 {
				p.low /= p.slot
			}
		} else {
			p.capBytes = l.bytes
			n = min(n, l.bytes)
		}
	} else if weighs {
		p.capBytes = unbounded
	} else {
		p.size = nil
	}
	p.rendezvous = n == 0
	p.capItems = int(min(n, 1<<40, math.MaxInt))
	p.segLen = segmentLen(p.capItems, p.slot, p.size != nil)
	p.pool = segmentPool[T](p.segLen, p.size != nil)
	return p, nil
}

// segmentLen picks a quarter of the pipe, rounded up to a power of two so that
// few pools serve many limits, and at most maxSegment bytes.
func segmentLen(capItems int, slot int64, sized bool) int {
	most := max(1, int(maxSegment/slot))
	if sized {
		most = min(most, max(256, maxSegment/4/int(slot+sumSize)))
	}
	if capItems == 0 {
		return min(most, 1<<10)
	}
	n := 1
	for n < most && n*4 < capItems {
		n *= 2
	}
	return min(n, most)
}

// ceiling is the most memory the pipe can take, but for the values that holders
// counts: its limit, and the parts of the first and the last segment that are not
// in use.
func (p *pipe[T]) ceiling() int64 {
	seg, n := int64(p.segLen)*p.slot, int64(p.capItems)
	var view int64 // of a lossy pipe: a copy
	if p.lossy {
		view = seg
	}
	if p.size != nil {
		seg += int64(p.segLen) * sumSize
		if p.lossy {
			view += maxSegment
		}
	}
	switch {
	case p.size != nil && p.limit.hasBytes:
		return p.capBytes + min(n, p.capBytes/p.slot)*sumSize + 2*seg + view
	case p.rendezvous:
		return seg + view
	}
	return ((n+int64(p.segLen)-1)/int64(p.segLen)+1)*seg + view
}

// sumSize is what a slot takes more in a pipe with a size function.
const sumSize = 8

// holders returns how many values the pipe may hold beyond its ceiling: one that
// is larger than its limit, or all of them if the limit does not count bytes.
func (p *pipe[T]) holders() beyond {
	if p.size == nil {
		return beyond{}
	}
	n := 1
	if !p.limit.hasBytes {
		n = max(n, p.capItems)
	}
	if p.lossy {
		n++
	}
	return beyond{n, p.maxValue}
}

// cost is what v is charged. Only for pipes with a size function.
func (p *pipe[T]) cost(v T) int64 { return p.slot + max(0, int64(p.size(v))) }

// fill is the charge in the unit that the limit is kept in.
func (p *pipe[T]) fill() int64 {
	if p.size != nil {
		return p.chargeIn - p.chargeOut
	}
	return int64(p.items)
}

// used is the charge in bytes.
func (p *pipe[T]) used() int64 {
	if p.size != nil {
		return p.chargeIn - p.chargeOut
	}
	return int64(p.items) * p.slot
}

// writeError is why nothing more can be written, or nil. mu is held.
func (p *pipe[T]) writeError() error {
	if p.rerr != nil {
		return p.rerr
	}
	if p.werr != nil {
		return ErrClosed
	}
	return nil
}

// readError is why nothing more will come, or nil. mu is held.
func (p *pipe[T]) readError() error {
	if p.rerr != nil {
		return ErrClosed
	}
	return p.werr
}

func (p *pipe[T]) buffered() int { return p.items + len(p.front) }

// closeWrite ends the pipe after what it holds. Only the first call counts.
func (p *pipe[T]) closeWrite(cause error) {
	if cause == nil {
		cause = io.EOF
	}
	p.mu.Lock()
	if p.werr == nil {
		p.werr = cause
	}
	p.quick = 0
	p.wakeAll()
	p.unlock()
}

// closeRead drops what the pipe holds; writers get cause from now on.
func (p *pipe[T]) closeRead(cause error) {
	if cause == nil {
		cause = ErrClosed
	}
	p.mu.Lock()
	first := p.rerr == nil
	p.quick = 0
	if first {
		p.rerr = cause
		p.peak = max(p.peak, p.fill())
		p.free()
		p.front = nil
		if p.share != nil {
			p.share.close()
		}
	}
	hangup := p.onHangup
	p.wakeAll()
	p.unlock()
	if first && hangup != nil {
		hangup(cause)
	}
}
