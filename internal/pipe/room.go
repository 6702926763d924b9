package pipe

// room returns how many of the next most values may be added now; c are their
// charges in a pipe with a size function. mu is held.
func (p *Pipe[T]) room(most int, c *charges) int {
	n := p.capItems
	if p.rendezvous {
		n = p.demand
	} else if !p.drained() {
		return 0
	}
	n = min(n-p.items, most)
	if p.size != nil && n > 0 && !p.rendezvous {
		n = c.within(n, p.capBytes-p.used())
		if n == 0 && p.items == 0 {
			n = 1 // larger than the limit: it passes alone
		}
	}
	p.short = false
	if n <= 0 {
		p.pressed = true
		return 0
	}
	if p.share != nil {
		n = p.afford(n, c)
		p.short = n == 0
	}
	return n
}

// drained reports whether the pipe is down to its low-water mark, or has not
// been full since it was. mu is held.
func (p *Pipe[T]) drained() bool {
	if p.low >= 0 && p.pressed {
		if p.fill() > p.low {
			return false
		}
		p.pressed = false
	}
	return true
}

// afford returns how many of the next n values the budget allows. An empty pipe
// may always take one, see added. mu is held.
func (p *Pipe[T]) afford(n int, c *charges) int {
	used := p.used()
	if p.size == nil {
		n = min(n, p.segLen)
		free := p.share.grant(used+p.slot, used+int64(n)*p.slot) - used
		n = min(n, int(free/p.slot))
	} else {
		n = c.within(n, p.share.grant(used+c.first(), used+c.sum(n))-used)
	}
	if n <= 0 && p.items == 0 {
		return 1
	}
	return max(n, 0)
}

// fits reports whether n values with a charge of so many bytes in all may be
// added now. mu is held.
func (p *Pipe[T]) fits(n int, charge int64) bool {
	switch {
	case p.rendezvous:
		if p.items+n > p.demand {
			return false
		}
	case p.low >= 0 && p.pressed && p.fill() > p.low:
		return false
	}
	if p.items == 0 && n == 1 {
		return true
	}
	used := p.used() + charge
	if !p.rendezvous && (p.items+n > p.capItems || p.size != nil && used > p.capBytes) {
		return false
	}
	return p.share == nil || p.share.grant(used, used) >= used
}

// charge returns the charge of n values; c are their charges in a pipe with a size
// function.
func (p *Pipe[T]) charge(n int, c *charges) int64 {
	if p.size != nil {
		return c.sum(n)
	}
	return int64(n) * p.slot
}

// mostPassed is how many batches may go ahead of a writer that has its turn.
const mostPassed = 64

// turnHeld reports whether a writer has to wait for its turn although there is
// room: the memory behind the last value is handed out, the owner of the turn
// has written a part of its batch, or enough others have gone ahead of it. If
// writers always queued, handing the turn to a goroutine that does not run yet
// would make all others wait for it, one after the other, without end. If they
// never did, one that waits might never find room. mu is held.
func (p *Pipe[T]) turnHeld() bool {
	return p.w.taken && (p.reserved > 0 || p.w.midway || p.w.passed >= mostPassed)
}

// goAhead adds all values of o although another writer has the turn, if there
// is room for all of them now and they are quickly copied. Otherwise it adds
// nothing. A writer without the turn must never write a part of a batch: it
// would have to wait for the rest in the place of the writer whose turn it is.
// mu is held.
func (p *Pipe[T]) goAhead(o *writeOp[T]) bool {
	n, c := len(o.vs), o.charges()
	if p.turnHeld() || p.known(o) < n || int64(n)*p.slot > smallCopy || !p.fits(n, p.charge(n, &c)) {
		return false
	}
	p.w.passed++
	p.addAll(o.vs, &c)
	o.wrote(n)
	return true
}
