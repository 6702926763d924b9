package weir

import (
	"context"
	"io"
	"sync"
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

	items    int   // values waiting in the segments
	quick    int   // values for which tail has room, whatever else may be; see requick
	bytes    int64 // their charge, in a pipe with a size function
	capItems int
	capBytes int64 // only with a size function
	low      int64 // after being full, there is room again at this fill; -1: at once
	pressed  bool  // was full and has not come down to low
	size     func(T) int
	slot     int64
	clears   bool // values may hold pointers: clear what was read
	limit    Limit

	rendezvous bool
	lossy      bool // the oldest values may be dropped: views are copies
	demand     int  // values that waiting readers asked for

	werr error // the write side was closed: io.EOF or a cause
	rerr error // the read side was closed

	w, r       side
	reserved   int   // slots handed out by reserve, at the end of tail
	viewing    bool  // a view of head is handed out
	need       int64 // charge of the value that a waiting writer holds
	want       int   // values that a waiting reader needs
	stuck      bool  // a writer waits for room
	tryLen     int   // what the last refused tryWrite needed
	tryCost    int64
	share      *share
	name       string      // "read → gzip", in a flow
	onHangup   func(error) // called once, without mu, when the reader goes
	totalOut   int64
	totalBytes int64 // charge that came in, with a size function
	peak       int64
	dropped    int64
	lost       int64 // values that came in and were not read: overwritten, or left at the end
}

// smallCopy is how many bytes may be copied while mu is held; larger copies
// take the turn and are made outside.
const smallCopy = 1 << 10

func newPipe[T any](c PipeConfig[T]) (*pipe[T], error) {
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
	} else {
		p.size = nil
	}
	p.rendezvous = n == 0
	p.capItems = int(min(n, 1<<40))
	p.segLen = segmentLen(p.capItems, p.slot, p.size != nil)
	p.pool = segmentPool[T](p.segLen, p.size != nil)
	return p, nil
}

// segmentLen picks a quarter of the pipe, rounded up to a power of two so that
// few pools serve many limits, and at most maxSegment bytes.
func segmentLen(capItems int, slot int64, sized bool) int {
	most := max(1, int(maxSegment/slot))
	if sized {
		most = min(most, 256)
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

// ceiling is the most memory the pipe can take: its limit, and the parts of
// the first and the last segment that are not in use.
func (p *pipe[T]) ceiling() int64 {
	seg := int64(p.segLen) * p.slot
	switch {
	case p.size != nil:
		return p.capBytes + 2*seg
	case p.rendezvous:
		return seg
	}
	n := int64(p.capItems)
	return ((n+int64(p.segLen)-1)/int64(p.segLen) + 1) * seg
}

// cost is what v is charged. Only for pipes with a size function.
func (p *pipe[T]) cost(v T) int64 { return p.slot + max(0, int64(p.size(v))) }

// fill is the charge in the unit that the limit is kept in.
func (p *pipe[T]) fill() int64 {
	if p.size != nil {
		return p.bytes
	}
	return int64(p.items)
}

// used is the charge in bytes.
func (p *pipe[T]) used() int64 {
	if p.size != nil {
		return p.bytes
	}
	return int64(p.items) * p.slot
}

// room returns how many values may be added now; of a pipe with a size
// function, whether one of the given cost may. mu is held.
func (p *pipe[T]) room(cost int64) int {
	n := p.capItems
	if p.rendezvous {
		n = p.demand
	}
	if p.low >= 0 && p.pressed && !p.rendezvous {
		if p.fill() > p.low {
			return 0
		}
		p.pressed = false
	}
	n -= p.items
	if p.size != nil {
		if n > 0 && p.bytes+cost > p.capBytes && p.items > 0 && !p.rendezvous {
			n = 0
		}
		n = min(n, 1)
	}
	if n <= 0 {
		p.pressed = true
		return 0
	}
	if p.share != nil {
		if p.size != nil {
			if !p.share.grant(p.bytes + cost) {
				return 0
			}
		} else {
			n = min(n, p.segLen)
			for n > 0 && !p.share.grant(int64(p.items+n)*p.slot) {
				n /= 2
			}
		}
	}
	return n
}

// put adds as many of vs as there is room for. mu is held.
func (p *pipe[T]) put(vs []T) int {
	if p.size != nil {
		return p.putSized(vs)
	}
	n := min(len(vs), p.room(0))
	for rest := vs[:n]; len(rest) > 0; {
		s := p.writable()
		k := copy(s.buf[s.w:], rest)
		s.w += k
		rest = rest[k:]
	}
	p.added(n)
	return n
}

func (p *pipe[T]) putSized(vs []T) int {
	n := 0
	for _, v := range vs {
		c := p.cost(v)
		if p.room(c) == 0 {
			break
		}
		s := p.writable()
		s.buf[s.w], s.cost[s.w] = v, c
		s.w++
		p.bytes += c
		p.totalBytes += c - p.slot
		p.added(1)
		n++
	}
	return n
}

func (p *pipe[T]) added(n int) {
	p.items += n
	p.quick = 0
}

// requick finds out how many values may be added to the last segment without
// asking again. Whatever may change the answer resets quick to 0. mu is held.
func (p *pipe[T]) requick() {
	s := p.tail
	if p.size != nil || p.rendezvous || p.w.taken || s == nil || s.w == len(s.buf) || p.writeError() != nil {
		p.quick = 0
		return
	}
	p.quick = min(p.room(0), len(s.buf)-s.w, max(1, warm/int(p.slot)))
	clear(s.buf[s.w : s.w+p.quick])
}

// warm is how many bytes are cleared ahead of single values. The memory was
// last read by another core; fetched in one go it costs half of what it costs
// line by line, between the locked instructions of one send and the next.
const warm = 1 << 10

// writable returns the last segment, with at least one free slot.
func (p *pipe[T]) writable() *segment[T] {
	if s := p.tail; s != nil && s.w < len(s.buf) {
		return s
	}
	return p.grow()
}

// take moves up to len(dst) values into dst. mu is held.
func (p *pipe[T]) take(dst []T) int {
	n := p.takeFront(dst)
	for n < len(dst) && p.items > 0 {
		s := p.head
		k := copy(dst[n:], s.buf[s.r:s.w])
		p.drop(k)
		n += k
	}
	if n > 0 {
		p.taken = n
	}
	return n
}

func (p *pipe[T]) takeFront(dst []T) int {
	if len(p.front) == 0 {
		return 0
	}
	n := copy(dst, p.front)
	clear(p.front[:n])
	p.front = p.front[n:]
	if len(p.front) == 0 {
		p.front = nil
	}
	return n
}

// drop takes the first n values of the head segment out. mu is held.
func (p *pipe[T]) drop(n int) {
	p.peak = max(p.peak, p.fill()) // the fill only grows in between
	s := p.head
	if p.size != nil {
		for _, c := range s.cost[s.r : s.r+n] {
			p.bytes -= c
		}
	}
	if p.clears {
		clear(s.buf[s.r : s.r+n])
	}
	s.r += n
	p.items -= n
	p.totalOut += int64(n)
	if s.r == s.w {
		switch {
		case s != p.tail || s.w == len(s.buf):
			p.recycle()
		case p.reserved == 0:
			s.r, s.w = 0, 0
		}
	}
	if p.share != nil {
		p.share.trim(p.used() + int64(p.quick)*p.slot)
	}
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

// write adds all of vs, waiting for room as often as it takes, and returns how
// many were added. Batches of several writers are not mixed.
func (p *pipe[T]) write(ctx context.Context, ln *lane, vs []T) (n int, err error) {
	p.mu.Lock()
	if n := len(vs); 0 < n && n <= p.quick && int64(n)*p.slot <= smallCopy {
		s := p.tail
		copy(s.buf[s.w:], vs)
		s.w += n
		p.items += n
		p.quick -= n
		if p.r.parked || p.r.ready != nil {
			p.wakeReader()
		}
		p.unlock()
		return n, nil
	}
	return p.writeLocked(ctx, ln, vs)
}

// writeLocked is write for a caller that has locked mu; it unlocks it.
func (p *pipe[T]) writeLocked(ctx context.Context, ln *lane, vs []T) (n int, err error) {
	p.quick = 0
	owned := false
	if p.w.taken {
		if err := p.takeTurn(ctx, ln, &p.w); err != nil {
			p.unlock()
			return 0, err
		}
		owned = true
	}
	for {
		if err = p.writeError(); err != nil {
			break
		}
		var k int
		if int64(len(vs))*p.slot > smallCopy && p.size == nil {
			if !owned {
				p.w.taken, owned = true, true
			}
			k = p.putUnlocked(vs)
		} else {
			k = p.put(vs)
		}
		n += k
		if vs = vs[k:]; len(vs) == 0 {
			break
		}
		if k > 0 && p.size == nil && int64(len(vs))*p.slot > smallCopy {
			continue // the next segment
		}
		if !owned {
			p.w.taken, owned = true, true
		}
		p.wakeReader()
		var cost int64
		if p.size != nil {
			cost = p.cost(vs[0])
			if p.share != nil && cost > p.share.b.total {
				err = ErrTooLarge
				break
			}
		}
		if err = p.waitRoom(ctx, ln, cost); err != nil {
			break
		}
	}
	if owned {
		p.w.pass()
	}
	p.wakeReader()
	p.requick()
	p.unlock()
	return n, err
}

// send is write for a single value.
func (p *pipe[T]) send(ctx context.Context, ln *lane, v T) error {
	p.mu.Lock()
	if p.quick == 0 {
		one := [1]T{v}
		_, err := p.writeLocked(ctx, ln, one[:])
		return err
	}
	s := p.tail
	s.buf[s.w] = v
	s.w++
	p.items++
	p.quick--
	if p.r.parked || p.r.ready != nil {
		p.wakeReader()
	}
	p.unlock()
	return nil
}

// putUnlocked copies into one segment with mu released. The caller owns the
// write turn.
func (p *pipe[T]) putUnlocked(vs []T) int {
	n := min(len(vs), p.room(0))
	if n == 0 {
		return 0
	}
	s := p.writable()
	n = min(n, len(s.buf)-s.w)
	view := s.buf[s.w : s.w+n]
	p.reserved = n
	p.unlock()
	copy(view, vs)
	p.mu.Lock()
	p.reserved = 0
	if p.rerr != nil || p.werr != nil {
		return 0
	}
	s.w += n
	p.added(n)
	p.wakeReader()
	return n
}

// fits reports whether all of vs may be added now. mu is held.
func (p *pipe[T]) fits(n int, cost int64) bool {
	if p.rendezvous {
		return p.items+n <= p.demand
	}
	if p.low >= 0 && p.pressed && p.fill() > p.low {
		return false
	}
	if p.items+n > p.capItems && (n > 1 || p.items > 0) {
		return false
	}
	used := p.used() + int64(n)*p.slot
	if p.size != nil {
		used = p.bytes + cost
		if used > p.capBytes && (n > 1 || p.items > 0) {
			return false
		}
	}
	return p.share == nil || p.share.grant(used)
}

// tryWrite adds all of vs or nothing, without waiting.
func (p *pipe[T]) tryWrite(vs []T) error {
	p.mu.Lock()
	defer p.unlock()
	if err := p.writeError(); err != nil {
		return err
	}
	var cost int64
	if p.size != nil {
		for _, v := range vs {
			cost += p.cost(v)
		}
	}
	if len(vs) > 1 && !p.rendezvous && (len(vs) > p.capItems || p.size != nil && cost > p.capBytes) {
		return ErrTooLarge
	}
	if p.w.taken || !p.fits(len(vs), cost) {
		p.pressed = true
		p.tryLen, p.tryCost = len(vs), cost
		return ErrFull
	}
	p.pressed = false
	p.tryLen, p.tryCost = 1, p.slot
	for len(vs) > 0 {
		vs = vs[p.put(vs):]
	}
	p.wakeReader()
	return nil
}

// read waits for at least one value and moves up to len(dst) into dst. first
// is the number of values that were read before them: several readers of one
// pipe can tell the order of what they got.
func (p *pipe[T]) read(ctx context.Context, ln *lane, dst []T) (n int, first int64, err error) {
	p.mu.Lock()
	return p.readLocked(ctx, ln, dst)
}

// readersWait reports whether a reader has to queue: somebody has a view, or
// there is nothing to read and somebody waits for it already. A reader that
// finds values takes them, even past one that is about to wake up for them:
// handing the turn to a goroutine that does not run yet would make all others
// wait for it, one after the other, for ever. mu is held.
func (p *pipe[T]) readersWait() bool {
	return p.r.taken && (p.viewing || p.buffered() == 0)
}

// readLocked is read for a caller that has locked mu; it unlocks it.
func (p *pipe[T]) readLocked(ctx context.Context, ln *lane, dst []T) (n int, first int64, err error) {
	owned := false
	if p.readersWait() {
		if err := p.takeTurn(ctx, ln, &p.r); err != nil {
			p.unlock()
			return 0, 0, err
		}
		owned = true
	}
	if p.buffered() == 0 {
		p.r.taken, owned = true, true
		err = p.waitData(ctx, ln, 1, len(dst))
	}
	if err == nil && len(dst) > 0 {
		first = p.totalOut
		if n = p.take(dst); n == 0 {
			err = p.readError()
		}
	}
	if owned {
		p.r.pass()
	}
	p.wakeWriter()
	p.unlock()
	return n, first, err
}

func (p *pipe[T]) tryRead(dst []T) (int, error) {
	p.mu.Lock()
	defer p.unlock()
	if p.viewing {
		return 0, ErrEmpty
	}
	n := p.take(dst)
	if n == 0 && len(dst) > 0 {
		if err := p.readError(); err != nil {
			return 0, err
		}
		return 0, ErrEmpty
	}
	p.wakeWriter()
	return n, nil
}

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
