package weirhttp

import "time"

// A client that takes quickPiece within quickTime is quick: it takes what the
// kernel holds for it in no time, and costs less if that is more, since the
// server is woken less often. It may hold what kernels hold anyway then. That is
// for a few: many at a time are served faster in small pieces, which are still
// in the processor's cache when they are received.
const (
	quickPiece  = 1 << 20
	quickTime   = 32 * time.Millisecond
	quickUnsent = 4 << 20
	quickMost   = 2 // connections of a port at a time
)

// gave counts n bytes as given to the kernel.
func (c *conn) gave(n int64) {
	c.wrote.Add(n)
	if c.burst += n; c.burst < quickPiece {
		return
	}
	now := time.Now()
	if now.Sub(c.burstAt) < quickTime && !c.quick.Load() && c.port.g.unsent() > 0 && c.tcp != nil {
		if c.port.quick.Add(1) <= quickMost {
			c.quick.Store(true)
			_ = limitUnsent(c.raw, max(quickUnsent, c.port.g.unsent()))
			if c.closed.Load() { // meanwhile, and nobody else will
				c.unquick()
			}
		} else {
			c.port.quick.Add(-1)
		}
	}
	c.burst, c.burstAt = 0, now
}

// unquick takes back what a quick client was granted.
func (c *conn) unquick() {
	if c.quick.CompareAndSwap(true, false) {
		c.port.quick.Add(-1)
	}
}

// slow takes back what a quick client was granted, when it took n bytes in d.
func (c *conn) slow(n int64, d time.Duration) {
	if c.quick.Load() && float64(n)*float64(quickTime) < float64(quickPiece/2)*float64(d) {
		c.unquick()
		_ = limitUnsent(c.raw, c.port.g.unsent())
	}
}
