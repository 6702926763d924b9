package weir

import "context"

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
		p.pass(&p.r)
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
