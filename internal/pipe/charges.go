package pipe

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
