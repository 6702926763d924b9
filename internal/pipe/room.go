package pipe

import measure "github.com/weir-go/weir/internal/size"

// mostPassed is how many batches may go ahead of a writer that has its turn.
const mostPassed = 64

// minReserve is the part of the reserve of a pipe of measured values that is
// left for the memory to which they refer.
const minReserve = 16 << 10

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
	if most := int(4 * smallCopy / p.g.slot); n > most {
		n = max(1, most)
	}
	var sum, largest int64
	if p.natural.Measures() {
		largest = measure.Charges(p.natural, vs[:n], p.g.slot, buf[:n])
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
	defer p.g.abandon(&returned, t)
	o.op.weighed(p.weigh(o.vs[o.op.n:], o.op.buf))
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
