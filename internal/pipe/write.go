package pipe

import (
	"context"
	"errors"
	"io"
	"sync"

	"github.com/weir-go/weir/internal/clock"
)

// add adds all of vs. The caller has made sure that there is room. mu is held.
func (p *Pipe[T]) add(vs []T, c *charges) {
	n := len(vs)
	for len(vs) > 0 {
		s := p.writable()
		k := copy(s.buf[s.w:], vs)
		p.g.fills(&s.span, k, c)
		vs = vs[k:]
	}
	p.g.added(n)
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
	g := &p.g
	g.mu.Lock()
	if n := len(vs); 0 < n && n <= g.quick && int64(n)*g.slot <= smallCopy {
		p.copyQuick(vs)
		g.unlock()
		return n, nil
	}
	return p.writeLocked(ctx, clk, &writeOp[T]{vs: vs, op: writing{of: len(vs)}})
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
	p.g.mu.Lock()
	if len(c.sums) == len(vs) && p.addQuick(vs, &c) {
		p.g.unlock()
		return len(vs), nil
	}
	o := writeOp[T]{vs: vs, op: writing{of: len(vs), buf: buf}}
	o.op.weighed(c)
	return p.writeLocked(ctx, clk, &o)
}

// addQuick adds vs to the last segment if the gate says that there is room
// without asking, and reports whether it did. mu is held.
func (p *Pipe[T]) addQuick(vs []T, c *charges) bool {
	if !p.g.quickly(len(vs), c) {
		return false
	}
	p.copyQuick(vs)
	return true
}

// copyQuick copies vs, for which there is room, to the last segment. mu is held.
func (p *Pipe[T]) copyQuick(vs []T) {
	g, s, n := &p.g, p.tail, len(vs)
	copy(s.buf[s.w:], vs)
	s.w += n
	g.items += n
	g.quick -= n
	if g.r.parked || g.r.ready != nil {
		g.wakeReader()
	}
}

// writeLocked carries out o for a caller that has locked mu; it unlocks it.
func (p *Pipe[T]) writeLocked(ctx context.Context, clk *clock.Clock, o *writeOp[T]) (n int, err error) {
	g := &p.g
	var t turn
	does := p.writeStep(o, &t)
	for does != finished {
		if does != away {
			does = g.drive(ctx, clk, &g.w, &t, does, func() next { return p.writeStep(o, &t) })
			continue
		}
		g.unlock()
		if p.size != nil {
			p.weighMore(o, &t)
		} else {
			copy(o.view, o.vs[o.op.n:])
		}
		g.mu.Lock()
		does = p.writeStep(o, &t)
	}
	g.endWrite(&t)
	if g.quick > 0 {
		s := p.tail
		clear(s.buf[s.w : s.w+g.quick]) // see warm
	}
	g.unlock()
	return o.op.n, t.err
}

// Send is Write for a single value.
func (p *Pipe[T]) Send(ctx context.Context, clk *clock.Clock, v T) error {
	if p.size != nil {
		return p.sendSized(ctx, clk, v)
	}
	g := &p.g
	g.mu.Lock()
	if g.quick == 0 {
		one := [1]T{v}
		_, err := p.writeLocked(ctx, clk, &writeOp[T]{vs: one[:], op: writing{of: 1}})
		return err
	}
	s := p.tail
	s.buf[s.w] = v
	s.w++
	g.items++
	g.quick--
	if g.r.parked || g.r.ready != nil {
		g.wakeReader()
	}
	g.unlock()
	return nil
}

func (p *Pipe[T]) sendSized(ctx context.Context, clk *clock.Clock, v T) error {
	g := &p.g
	c := p.cost(v)
	g.mu.Lock()
	if g.quick == 0 || c > g.quickCharge {
		one, sums := [1]T{v}, [1]int64{c}
		_, err := p.writeLocked(ctx, clk, &writeOp[T]{vs: one[:], op: writing{of: 1, buf: sums[:], to: 1, largest: c}})
		return err
	}
	s := p.tail
	g.chargeIn += c
	g.largest = max(g.largest, c)
	g.quickCharge -= c
	s.buf[s.w], s.sums[s.w] = v, g.chargeIn
	s.w++
	g.items++
	g.quick--
	if g.r.parked || g.r.ready != nil {
		g.wakeReader()
	}
	g.unlock()
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
	g := &p.g
	charge := g.charge(len(vs), &c)
	g.mu.Lock()
	defer g.unlock()
	if err := g.tryWrite(len(vs), charge); err != nil {
		return err
	}
	p.add(vs, &c)
	g.wakeReader()
	return nil
}

// Reserve waits for room and hands out up to n free slots. The write turn is held
// until Commit.
func (p *Pipe[T]) Reserve(ctx context.Context, clk *clock.Clock, n int) ([]T, error) {
	if p.size != nil {
		return nil, errors.ErrUnsupported
	}
	g := &p.g
	g.mu.Lock()
	room, err := g.slotsNow(max(n, 1)), error(nil)
	if room == 0 {
		room, err = g.awaitSlots(ctx, clk, max(n, 1))
	}
	var view []T
	if err == nil {
		view = p.handOut(room)
	}
	g.unlock()
	return view, err
}

// FillFrom reads r into the memory of p until r ends, and returns how many bytes
// that were. It does not close the pipe.
func FillFrom(ctx context.Context, p *Pipe[byte], r io.Reader) (sum int64, err error) {
	for empty := 0; empty < 100; empty++ {
		b, err := p.Reserve(ctx, nil, MaxSegment)
		if err != nil {
			return sum, err
		}
		n, err := r.Read(b)
		if n < 0 || n > len(b) {
			n, err = 0, errBadRead
		}
		if cerr := p.g.Commit(n); cerr != nil {
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
