package weirhttp

import (
	"time"
)

// watchState is what the watchdog knows of a connection from its last look.
type watchState struct {
	taken int64
	wrote int64
	at    time.Time
	lag   time.Duration // how far the client is behind the least rate
	idle  bool          // the client had taken all there was
}

// watch looks at all connections until the last has gone, and ends those that
// take too little.
func (p *port) watch() {
	stall := p.g.stall()
	if stall < 0 {
		<-p.gone
		return
	}
	// A stall begins within one look and has lasted long enough within
	// another, and there is a second for both.
	tick := time.NewTicker(min(max(stall/8, 10*time.Millisecond), 400*time.Millisecond))
	defer tick.Stop()
	var conns []*conn
	for {
		select {
		case <-p.gone:
			return
		case t := <-tick.C:
			conns = p.list(conns)
			for _, c := range conns {
				if c.lag(t) >= stall {
					path := ""
					if x := c.carries.Load(); x != nil {
						path = x.info.Name
					}
					p.g.log().Warn("client cut off", "client", c.RemoteAddr().String(), "path", path, "reason", errSlow.Error(),
						"stall", stall, "min_rate", p.g.minRate())
					c.evict()
				}
			}
			clear(conns) // those that close meanwhile are not kept alive
		}
	}
}

// lag returns how long the client has taken nothing, or less than the least
// rate: time in which something waits for it adds to its lag, and what it takes
// makes up for as much time as it may take for it. The steps in which clients
// take do not matter then, as long as one comes within Stall.
func (c *conn) lag(t time.Time) time.Duration {
	s := &c.watch
	wrote := c.wrote.Load()
	if s.idle && wrote == s.wrote && c.writing.Load() == 0 {
		c.slow(0, t.Sub(s.at)) // others may be quick meanwhile
		s.at = t
		return 0
	}
	now := c.progress()
	if !s.at.IsZero() {
		c.slow(now.taken-s.taken, t.Sub(s.at))
	}
	return s.step(t, now, wrote, c.port.g.minRate())
}

// step is lag for what a look at t has found.
func (s *watchState) step(t time.Time, now progress, wrote, rate int64) time.Duration {
	span, took := t.Sub(s.at), now.taken-s.taken
	first := s.at.IsZero() || s.idle
	s.at, s.taken, s.wrote = t, now.taken, wrote
	s.idle = !now.pending
	if s.idle || first {
		s.lag = 0
	} else {
		s.lag = behind(s.lag, span, took, rate)
	}
	return s.lag
}

// behind returns how far a client is behind the least rate, in bytes a second,
// that was lag behind and then took n bytes in a span of time.
func behind(lag, span time.Duration, n, rate int64) time.Duration {
	switch {
	case n == 0:
		return lag + span
	case rate <= 0:
		return 0
	}
	// In seconds, since bytes times nanoseconds do not fit.
	made := float64(n) / float64(rate)
	return max(0, lag+span-time.Duration(min(made, 1e6)*float64(time.Second)))
}

// blindPiece is how much is copied at once where only writes are counted.
const blindPiece = 64 << 10

// told reports whether the kernel tells what the client takes.
func (c *conn) told() bool {
	return c.progress().told
}
