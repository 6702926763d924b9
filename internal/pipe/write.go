package pipe

import (
	"context"
	"errors"
	"io"
	"sync"

	"github.com/weir-go/weir/internal/clock"
)

// put adds as many of vs as there is room for. mu is held.
func (p *Pipe[T]) put(vs []T, c *charges) int {
	if len(vs) == 0 {
		return 0
	}
	n := p.room(len(vs), c)
	p.add(vs[:n], c)
	return n
}

// addAll is add for a batch that fits as a whole. mu is held.
func (p *Pipe[T]) addAll(vs []T, c *charges) {
	p.pressed = false // fits has seen that the pipe is down to its low-water mark
	p.add(vs, c)
}

// add adds all of vs. The caller has made sure that there is room. mu is held.
func (p *Pipe[T]) add(vs []T, c *charges) {
	n := len(vs)
	for len(vs) > 0 {
		s := p.writable()
		k := copy(s.buf[s.w:], vs)
		if p.size != nil {
			p.note(s, k, c)
		}
		s.w += k
		vs = vs[k:]
	}
	p.added(n)
}

// note records the charges of the next k values of s, and takes them out of c. mu
// is held.
func (p *Pipe[T]) note(s *segment[T], k int, c *charges) {
	sums := s.sums[s.w : s.w+k]
	off := p.chargeIn - c.base
	for i, sum := range c.sums[:k] {
		sums[i] = off + sum
	}
	p.chargeIn += c.sum(k)
	p.largest = max(p.largest, c.most(k))
	c.skip(k)
}

// added is called when n values more are in the segments. mu is held.
func (p *Pipe[T]) added(n int) {
	p.items += n
	p.quick = 0
	if p.share != nil {
		p.share.cover(p.used())
	}
}

// requick finds out how many values, and of what charge, may be added to the
// last segment without asking again. Whatever may change the answer resets
// quick to 0. mu is held.
func (p *Pipe[T]) requick() {
	p.quick = 0
	s := p.tail
	if p.rendezvous || p.turnHeld() || s == nil || s.w == len(s.buf) || p.writeError() != nil || !p.drained() {
		return
	}
	n := p.capItems - p.items
	if p.size != nil {
		p.quickCharge = p.capBytes - p.used()
	}
	if n <= 0 || p.size != nil && p.quickCharge <= 0 {
		p.pressed = true
		return
	}
	if p.share != nil {
		free := p.share.granted - p.used()
		if p.size != nil {
			p.quickCharge = min(p.quickCharge, free)
		} else {
			n = min(n, int(free/p.slot))
		}
	}
	if p.quick = max(0, min(n, len(s.buf)-s.w, max(1, warm/int(p.slot)))); p.quick > 0 {
		clear(s.buf[s.w : s.w+p.quick])
	}
}

// warm is how many bytes are cleared ahead of single values. The memory was
// last read by another core; fetched in one go it costs half as much as line by
// line, between the locked instructions of one send and the next.
const warm = 1 << 10

// writable returns the last segment, with at least one free slot.
func (p *Pipe[T]) writable() *segment[T] {
	if s := p.tail; s != nil && s.w < len(s.buf) {
		return s
	}
	return p.grow()
}

// Write adds all of vs, waiting for room as often as it takes, and returns how
// many were added. Batches of several writers are not mixed. For the clock see
// [Pipe.Read].
func (p *Pipe[T]) Write(ctx context.Context, clk *clock.Clock, vs []T) (n int, err error) {
	if p.size != nil {
		return p.writeSized(ctx, clk, vs)
	}
	p.mu.Lock()
	if n := len(vs); 0 < n && n <= p.quick && int64(n)*p.slot <= smallCopy {
		p.copyQuick(vs)
		p.unlock()
		return n, nil
	}
	return p.writeLocked(ctx, clk, &writeOp[T]{vs: vs})
}

func (p *Pipe[T]) writeSized(ctx context.Context, clk *clock.Clock, vs []T) (n int, err error) {
	if len(vs) <= weighed {
		var buf [weighed]int64
		return p.writeWeighed(ctx, clk, vs, buf[:])
	}
	var buf [weighedMost]int64 // which takes a while to clear
	return p.writeWeighed(ctx, clk, vs, buf[:])
}

// writeWeighed is Write for a pipe with a size function; buf is where the values
// are weighed.
func (p *Pipe[T]) writeWeighed(ctx context.Context, clk *clock.Clock, vs []T, buf []int64) (n int, err error) {
	c := p.weigh(vs, buf)
	p.mu.Lock()
	if len(c.sums) == len(vs) && p.addQuick(vs, &c) {
		p.unlock()
		return len(vs), nil
	}
	o := writeOp[T]{vs: vs, buf: buf}
	o.weighed(c)
	return p.writeLocked(ctx, clk, &o)
}

// addQuick adds vs to the last segment if quick and quickCharge say that there
// is room, and reports whether it did. mu is held.
func (p *Pipe[T]) addQuick(vs []T, c *charges) bool {
	n := len(vs)
	if n == 0 || n > p.quick || int64(n)*p.slot > smallCopy {
		return false
	}
	if p.size != nil {
		sum := c.sum(n)
		if sum > p.quickCharge {
			return false
		}
		p.quickCharge -= sum
		p.note(p.tail, n, c)
	}
	p.copyQuick(vs)
	return true
}

// copyQuick copies vs, for which there is room, to the last segment. mu is held.
func (p *Pipe[T]) copyQuick(vs []T) {
	s, n := p.tail, len(vs)
	copy(s.buf[s.w:], vs)
	s.w += n
	p.items += n
	p.quick -= n
	if p.r.parked || p.r.ready != nil {
		p.wakeReader()
	}
}

// writeLocked carries out o for a caller that has locked mu; it unlocks it.
func (p *Pipe[T]) writeLocked(ctx context.Context, clk *clock.Clock, o *writeOp[T]) (n int, err error) {
	var t turn
	does := p.writeStep(o, &t)
	for does != finished {
		if does != away {
			does = p.drive(ctx, clk, &p.w, &t, does, func() next { return p.writeStep(o, &t) })
			continue
		}
		p.unlock()
		if p.size != nil {
			p.weighMore(o, &t)
		} else {
			copy(o.view, o.rest())
		}
		p.mu.Lock()
		does = p.writeStep(o, &t)
	}
	p.endWrite(&t)
	p.unlock()
	return o.n, t.err
}

// Send is Write for a single value.
func (p *Pipe[T]) Send(ctx context.Context, clk *clock.Clock, v T) error {
	if p.size != nil {
		return p.sendSized(ctx, clk, v)
	}
	p.mu.Lock()
	if p.quick == 0 {
		one := [1]T{v}
		_, err := p.writeLocked(ctx, clk, &writeOp[T]{vs: one[:]})
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

func (p *Pipe[T]) sendSized(ctx context.Context, clk *clock.Clock, v T) error {
	c := p.cost(v)
	p.mu.Lock()
	if p.quick == 0 || c > p.quickCharge {
		one, sums := [1]T{v}, [1]int64{c}
		_, err := p.writeLocked(ctx, clk, &writeOp[T]{vs: one[:], buf: sums[:], to: 1, largest: c})
		return err
	}
	s := p.tail
	p.chargeIn += c
	p.largest = max(p.largest, c)
	p.quickCharge -= c
	s.buf[s.w], s.sums[s.w] = v, p.chargeIn
	s.w++
	p.items++
	p.quick--
	if p.r.parked || p.r.ready != nil {
		p.wakeReader()
	}
	p.unlock()
	return nil
}

// sumsPool keeps the memory for the charges of batches that must be weighed as
// a whole.
var sumsPool = sync.Pool{New: func() any { return new([]int64) }}

// TryWrite adds all of vs or nothing, without waiting.
func (p *Pipe[T]) TryWrite(vs []T) error {
	var c charges
	if p.size != nil {
		buf := sumsPool.Get().(*[]int64)
		defer sumsPool.Put(buf)
		c = p.weighAll(vs, buf)
	}
	charge := p.charge(len(vs), &c)
	p.mu.Lock()
	defer p.unlock()
	if err := p.writeError(); err != nil {
		return err
	}
	if len(vs) > 1 && !p.rendezvous && (len(vs) > p.capItems || p.size != nil && charge > p.capBytes) {
		return ErrTooLarge
	}
	if p.turnHeld() || !p.fits(len(vs), charge) {
		p.pressed, p.quick = true, 0
		p.tryLen, p.tryCost = len(vs), charge
		return ErrFull
	}
	if p.w.taken {
		p.w.passed++
	}
	p.tryLen, p.tryCost = 1, p.slot
	p.addAll(vs, &c)
	p.wakeReader()
	return nil
}

// Reserve waits for room and hands out up to n free slots. The write turn is held
// until Commit.
func (p *Pipe[T]) Reserve(ctx context.Context, clk *clock.Clock, n int) ([]T, error) {
	if p.size != nil {
		return nil, errors.ErrUnsupported
	}
	n = max(n, 1)
	p.mu.Lock()
	if !p.w.taken && p.writeError() == nil {
		if view := p.handOut(n); view != nil {
			p.w.taken = true
			p.unlock()
			return view, nil
		}
	}
	return p.reserveLocked(ctx, clk, n)
}

// reserveLocked is Reserve for a caller that has locked mu; it unlocks it.
func (p *Pipe[T]) reserveLocked(ctx context.Context, clk *clock.Clock, n int) ([]T, error) {
	defer p.unlock()
	var o writeOp[T]
	var t turn
	if does := p.reserveStep(&o, &t, n); does != finished {
		p.drive(ctx, clk, &p.w, &t, does, func() next { return p.reserveStep(&o, &t, n) })
	}
	if t.err != nil && t.owned {
		p.pass(&p.w)
	}
	return o.view, t.err
}

// Commit publishes the first n reserved slots and gives the turn back.
func (p *Pipe[T]) Commit(n int) error {
	p.mu.Lock()
	defer p.unlock()
	return p.commitLocked(n)
}

func (p *Pipe[T]) commitLocked(n int) error {
	if p.reserved == 0 { // the turn can be another writer's
		return errUnreserved
	}
	if n < 0 || n > p.reserved {
		return errCommit
	}
	p.reserved = 0
	err := p.writeError()
	if err == nil && n > 0 {
		p.tail.w += n
		p.added(n)
	}
	if s := p.tail; s != nil && s == p.head && s.r == s.w {
		s.r, s.w = 0, 0
	}
	p.pass(&p.w)
	p.wakeReader()
	return err
}

// FillFrom reads r into the pipe's memory until r ends, and returns how many bytes
// that were. It does not close the pipe, which must be one of bytes.
func (p *Pipe[T]) FillFrom(ctx context.Context, r io.Reader) (sum int64, err error) {
	for empty := 0; empty < 100; empty++ {
		view, err := p.Reserve(ctx, nil, MaxSegment)
		if err != nil {
			return sum, err
		}
		b := any(view).([]byte)
		n, err := r.Read(b)
		if n < 0 || n > len(b) {
			n, err = 0, errBadRead
		}
		if cerr := p.Commit(n); cerr != nil {
			return sum, cerr
		}
		sum += int64(n)
		if err == io.EOF {
			return sum, nil
		}
		if err != nil {
			return sum, err
		}
		if n > 0 {
			empty = 0
		}
	}
	return sum, io.ErrNoProgress
}

var errBadRead = errors.New("Read returned an impossible count")
