package weir

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
	p.short = false
	if n <= 0 {
		p.pressed = true
		return 0
	}
	if p.share != nil {
		if p.size != nil {
			if !p.share.grant(p.bytes + cost) {
				p.short = true
				return 0
			}
		} else {
			n = min(n, p.segLen)
			for n > 0 && !p.share.grant(int64(p.items+n)*p.slot) {
				n /= 2
			}
			p.short = n == 0
		}
	}
	return n
}

// fits reports whether n values of the given cost may be added now. mu is held.
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

// costs is what vs are charged in a pipe with a size function, and 0 in others.
func (p *pipe[T]) costs(vs []T) (sum int64) {
	if p.size == nil {
		return 0
	}
	for _, v := range vs {
		sum += p.cost(v)
	}
	return sum
}

// mostPassed is how many batches may go ahead of a writer that has its turn.
const mostPassed = 64

// turnHeld reports whether a writer has to wait for its turn although there is
// room: the memory behind the last value is handed out, the owner of the turn
// has written a part of its batch, or enough others have gone ahead of it. If
// writers always queued, handing the turn to a goroutine that does not run yet
// would make all others wait for it, one after the other, for ever; if they
// never did, one that waits might never find room. mu is held.
func (p *pipe[T]) turnHeld() bool {
	return p.w.taken && (p.reserved > 0 || p.w.midway || p.w.passed >= mostPassed)
}

// goesAhead reports whether vs can be added as a whole, and without a long
// copy, although another writer has its turn, and counts it. mu is held.
func (p *pipe[T]) goesAhead(vs []T) bool {
	if p.turnHeld() || int64(len(vs))*p.slot > smallCopy || !p.fits(len(vs), p.costs(vs)) {
		return false
	}
	p.w.passed++
	return true
}
