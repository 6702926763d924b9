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

// minReserve is the part of the reserve of a pipe of measured values that is
// left for the memory to which they refer.
const minReserve = 16 << 10

// Join makes the pipe take its memory from b and returns its reserve in bytes,
// which the caller has to acquire and to release.
func (p *Pipe[T]) Join(b *Budget) int64 {
	seg := int64(p.segLen) * p.slot
	if p.w.park == nil {
		p.w.park = make(chan struct{}, 1)
	}
	reserve := min(seg, max(p.slot, int64(p.capItems)*p.slot))
	if p.size != nil && p.limit.HasBytes {
		reserve = min(p.capBytes, seg+minReserve)
	}
	p.share = &share{b: b, reserve: reserve, granted: reserve, quantum: max(p.slot, seg), park: p.w.park}
	return reserve
}

// Credit returns the bytes that the pipe has taken from its budget beyond its
// reserve, and whether it waits for more.
func (p *Pipe[T]) Credit() (extra int64, waits bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.share == nil {
		return 0, false
	}
	b := p.share.b
	b.mu.Lock()
	defer b.mu.Unlock()
	_, waits = b.waiting[p.share]
	return p.share.granted - p.share.reserve, waits
}

// charges are the charges of the next values of a batch, as running sums: the
// first n values are charged sums[n-1] - base. How many of them fit into a pipe
// is then one search, and their sum one subtraction. It stays empty in pipes
// without a size function.
type charges struct {
	sums []int64
	base int64

	largest int64 // of the values that were weighed, up to the last of sums
}

// A writer weighs as many values at a time as fit into an array on its stack:
// weighed of a small batch, weighedMost of others.
const (
	weighed     = 64
	weighedMost = 256
)

// weigh calls the size function for the first values of vs, as many as buf has
// room for, and returns their charges, in buf. It runs code of the user's: mu
// must not be held.
func (p *Pipe[T]) weigh(vs []T, buf []int64) charges {
	n := min(len(vs), len(buf))
	if most := int(4 * smallCopy / p.slot); n > most {
		n = max(1, most)
	}
	var sum, largest int64
	if p.natural.Measures() {
		largest = p.natural.Charges(vs[:n], p.slot, buf[:n])
		return charges{sums: buf[:n], largest: largest}
	}
	for i, v := range vs[:n] {
		c := p.cost(v)
		largest = max(largest, c)
		sum += c
		buf[i] = sum
	}
	return charges{sums: buf[:n], largest: largest}
}

// weighAll is weigh for all of vs.
func (p *Pipe[T]) weighAll(vs []T, buf *[]int64) (c charges) {
	sums := (*buf)[:0]
	for rest := vs; len(rest) > 0; {
		var some [weighed]int64
		part := p.weigh(rest, some[:])
		before := int64(0)
		if len(sums) > 0 {
			before = sums[len(sums)-1]
		}
		for _, sum := range part.sums {
			sums = append(sums, before+sum)
		}
		c.largest = max(c.largest, part.largest)
		rest = rest[len(part.sums):]
	}
	if cap(sums) <= 1<<12 {
		*buf = sums
	}
	c.sums = sums
	return c
}

// weighMore is weigh for a writer that owns the turn. If the size function
// panics, the turn is passed on.
func (p *Pipe[T]) weighMore(o *writeOp[T], t *turn) {
	returned := false
	defer func() {
		if !returned {
			p.mu.Lock()
			p.endWrite(t)
			p.unlock()
		}
	}()
	o.weighed(p.weigh(o.vs[o.n:], o.buf))
	returned = true
}

// first returns the charge of the first value.
func (c *charges) first() int64 { return c.sums[0] - c.base }

// sum returns the charge of the first n values.
func (c *charges) sum(n int) int64 {
	if n == 0 {
		return 0
	}
	return c.sums[n-1] - c.base
}

// most returns the largest charge of the first n values, and of those before them.
func (c *charges) most(n int) int64 {
	if n == len(c.sums) {
		return c.largest
	}
	most, before := int64(0), c.base
	for _, sum := range c.sums[:n] {
		most, before = max(most, sum-before), sum
	}
	return most
}

// within returns how many of the first n values are charged at most most
// together.
func (c *charges) within(n int, most int64) int {
	if n <= 0 || c.sum(n) <= most {
		return n
	}
	most += c.base
	lo, hi := 0, n-1 // the first lo fit, the first hi+1 do not
	for lo < hi {
		if m := int(uint(lo+hi) >> 1); c.sums[m] <= most {
			lo = m + 1
		} else {
			hi = m
		}
	}
	return lo
}

// skip leaves out the first n values.
func (c *charges) skip(n int) {
	if n > 0 {
		c.base, c.sums = c.sums[n-1], c.sums[n:]
	}
}
