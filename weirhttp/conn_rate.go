package weirhttp

import (
	"net"
	"time"

	"golang.org/x/time/rate"
)

// paced reports whether a rate limits what c sends and receives.
func (c *conn) paced() bool { return c.cancel != nil }

// limits are the rates that c is under.
func (c *conn) limits() [2]*rate.Limiter { return [...]*rate.Limiter{c.pace, c.port.g.total} }

// allow waits until some of n bytes may be sent and returns how many. The caller
// is counted as writing.
func (c *conn) allow(n int64) (int64, error) {
	if !c.paced() {
		return n, nil
	}
	c.writing.Add(-1) // it is not the client that is waited for
	defer c.writing.Add(1)
	n = c.most(n)
	if x := c.carries.Load(); x != nil {
		was := x.meter.enter(phaseRate)
		defer x.meter.enter(was)
	}
	if err := c.waitFor(n); err != nil {
		return 0, err
	}
	return n, nil
}

// most returns how many of n bytes the rates can allow at once.
func (c *conn) most(n int64) int64 {
	for _, l := range c.limits() {
		if l != nil {
			n = min(n, int64(l.Burst()))
		}
	}
	return n
}

// waitFor waits until the rates allow n bytes, which are not more than most says.
func (c *conn) waitFor(n int64) error {
	c.rated.Store(true)
	defer c.rated.Store(false)
	for _, l := range c.limits() {
		if l == nil {
			continue
		}
		if err := l.WaitN(c.ctx, int(n)); err != nil {
			return net.ErrClosed
		}
	}
	return nil
}

// owed is below how many bytes what was read is paid for by what is read next:
// the header of a request need not queue.
const owed = 512

// owe takes n bytes from what the rates allow, without waiting, unless so much is
// owed already that somebody waits.
func (c *conn) owe(n int) bool {
	for _, l := range c.limits() {
		if l != nil && l.Tokens() < 0 {
			return false
		}
	}
	for _, l := range c.limits() {
		if l != nil {
			l.ReserveN(time.Now(), n)
		}
	}
	return true
}

// newLimiter lets perSecond bytes pass in pieces that are small enough for
// connections to take turns.
func newLimiter(perSecond int64) *rate.Limiter {
	piece := min(max(perSecond/20, 512), 32<<10)
	return rate.NewLimiter(rate.Limit(perSecond), int(piece))
}
