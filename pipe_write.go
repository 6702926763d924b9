package weir

import "context"

// put adds as many of vs as there is room for. mu is held.
func (p *pipe[T]) put(vs []T) int {
	if p.size != nil {
		return p.putSized(vs)
	}
	n := min(len(vs), p.room(0))
	p.add(vs[:n])
	return n
}

// add adds all of vs. The caller has made sure that they fit. mu is held.
func (p *pipe[T]) add(vs []T) {
	p.added(len(vs))
	for len(vs) > 0 {
		s := p.writable()
		k := copy(s.buf[s.w:], vs)
		if p.size != nil {
			for i, v := range vs[:k] {
				c := p.cost(v)
				s.cost[s.w+i] = c
				p.bytes += c
				p.totalBytes += c - p.slot
			}
		}
		s.w += k
		vs = vs[k:]
	}
}

func (p *pipe[T]) putSized(vs []T) int {
	n := 0
	for n < len(vs) && p.room(p.cost(vs[n])) > 0 {
		p.add(vs[n : n+1])
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
	if p.size != nil || p.rendezvous || p.turnHeld() || s == nil || s.w == len(s.buf) || p.writeError() != nil {
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
	owned := false // whether the turn is this writer's; it never writes a part of vs without
	if p.w.taken {
		if err := p.writeError(); err != nil {
			p.unlock()
			return 0, err
		}
		if p.goAhead(vs) {
			p.wakeReader()
			p.requick()
			p.unlock()
			return len(vs), nil
		}
		if err := p.takeTurn(ctx, ln, &p.w); err != nil {
			p.unlock()
			return 0, err
		}
		owned = true
	}
	// From here on the turn is this writer's or nobody's, and mu is not given
	// up before it is this writer's.
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
		p.w.midway = n > 0
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
		p.pass(&p.w)
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
	p.reserved, p.quick = n, 0
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

// tryWrite adds all of vs or nothing, without waiting.
func (p *pipe[T]) tryWrite(vs []T) error {
	p.mu.Lock()
	defer p.unlock()
	if err := p.writeError(); err != nil {
		return err
	}
	cost := p.costs(vs)
	if len(vs) > 1 && !p.rendezvous && (len(vs) > p.capItems || p.size != nil && cost > p.capBytes) {
		return ErrTooLarge
	}
	if p.turnHeld() || !p.fits(len(vs), cost) {
		p.pressed = true
		p.tryLen, p.tryCost = len(vs), cost
		return ErrFull
	}
	if p.w.taken {
		p.w.passed++
	}
	p.pressed = false
	p.tryLen, p.tryCost = 1, p.slot
	p.add(vs)
	p.wakeReader()
	return nil
}
