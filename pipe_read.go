package weir

import (
	"context"
	"math"
)

// take moves up to len(dst) values into dst. mu is held.
func (p *pipe[T]) take(dst []T) int {
	n := 0
	if len(p.front) > 0 {
		n = p.takeFront(dst)
	}
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

// takeUpTo is take of no more than most bytes of charge, or of one value if
// that is charged more. It returns what the values were charged. mu is held.
func (p *pipe[T]) takeUpTo(dst []T, most int64) (n int, charge int64) {
	if len(p.front) > 0 && len(dst) > 0 {
		n = p.takeFront(dst[:min(int64(len(dst)), max(1, most/p.slot))])
		charge = int64(n) * p.slot
	}
	for n < len(dst) && p.items > 0 {
		s := p.head
		k := p.within(s, min(len(dst)-n, s.w-s.r), most-charge)
		if k == 0 && n == 0 {
			k = 1
		}
		if k == 0 {
			break
		}
		copy(dst[n:], s.buf[s.r:s.r+k])
		before := p.used()
		p.drop(k)
		charge += before - p.used()
		n += k
	}
	if n > 0 {
		p.taken = n
	}
	return n, charge
}

// within returns how many of the first k values of the head segment are charged
// at most most together. mu is held.
func (p *pipe[T]) within(s *segment[T], k int, most int64) int {
	if p.size == nil {
		return max(0, int(min(int64(k), most/p.slot)))
	}
	c := charges{sums: s.sums[s.r : s.r+k], base: p.chargeOut}
	return c.within(k, most)
}

func (p *pipe[T]) takeFront(dst []T) int {
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
		p.chargeOut = s.sums[s.r+n-1]
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
	if p.share != nil && p.share.trim(p.used()) {
		p.quick = 0 // it may have been granted by what was given back
	}
}

// read waits for at least one value and moves up to len(dst) into dst. first
// is the number of values that were read before them: several readers of one
// pipe can tell the order of what they got.
func (p *pipe[T]) read(ctx context.Context, ln *lane, dst []T) (n int, first int64, err error) {
	p.mu.Lock()
	return p.readLocked(ctx, ln, dst)
}

// readLocked is read for a caller that has locked mu; it unlocks it.
func (p *pipe[T]) readLocked(ctx context.Context, ln *lane, dst []T) (n int, first int64, err error) {
	if p.items > 0 && !p.viewing {
		first = p.totalOut
		n = p.take(dst)
		p.wakeWriter()
		p.unlock()
		return n, first, nil
	}
	defer p.unlock()
	o := readOp{n: 1, most: len(dst)}
	defer p.endRead(&o)
	if err = p.awaitValue(ctx, ln, &o); err == nil && len(dst) > 0 {
		first = p.totalOut
		if n = p.take(dst); n == 0 {
			err = p.readError()
		}
	}
	return n, first, err
}

// noMost means that the charge of what is read does not matter.
const noMost = math.MaxInt64

// readUpTo is read that takes no more than most bytes of charge, or one value
// if that is charged more. It returns the charge of what it took.
func (p *pipe[T]) readUpTo(ctx context.Context, ln *lane, dst []T, most int64) (n int, first, charge int64, err error) {
	p.mu.Lock()
	defer p.unlock()
	o := readOp{n: 1, most: len(dst)}
	defer p.endRead(&o)
	if err = p.awaitValue(ctx, ln, &o); err == nil && len(dst) > 0 {
		first = p.totalOut
		if n, charge = p.takeUpTo(dst, most); n == 0 {
			err = p.readError()
		}
	}
	return n, first, charge, err
}

// awaitValue waits until there is a value, or the pipe has ended. It returns an
// error only if ctx has ended first. mu is held before and after.
func (p *pipe[T]) awaitValue(ctx context.Context, ln *lane, o *readOp) error {
	if does := p.readStep(o); does != finished {
		p.drive(ctx, ln, &p.r, &o.turn, does, func() next { return p.readStep(o) })
	}
	return o.err
}

func (p *pipe[T]) tryRead(dst []T, most int64) (int, error) {
	p.mu.Lock()
	defer p.unlock()
	if p.viewing {
		return 0, ErrEmpty
	}
	n, _ := p.takeUpTo(dst, most)
	if n == 0 && len(dst) > 0 {
		if err := p.readError(); err != nil {
			return 0, err
		}
		return 0, ErrEmpty
	}
	p.wakeWriter()
	return n, nil
}
