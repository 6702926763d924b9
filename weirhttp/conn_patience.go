package weirhttp

import "time"

// setPatience makes each Read wait for at most d from now on, and for less if the
// client sends less than the least rate, until somebody sets a deadline: net/http,
// when a request's body has come to its end, or a handler that has one of its own.
func (c *conn) setPatience(d time.Duration) {
	c.late = 0
	c.patience.Store(int64(d))
}

// read is Read where nothing was read early.
func (c *conn) read(b []byte) (int, error) {
	d, began, err := c.beginRead()
	if err != nil {
		return 0, err
	}
	n, held, err := c.readHeld(b)
	if d <= 0 {
		return n, err
	}
	c.late = behind(c.late, time.Since(began)-held, int64(n), c.port.g.minRate())
	if err == nil && c.late >= d {
		err = errLate
	}
	return n, err
}

// beginRead sets the deadline of a Read if it has a patience, and returns that.
func (c *conn) beginRead() (d time.Duration, began time.Time, err error) {
	if c.patience.Load() <= 0 {
		return 0, began, nil
	}
	// A deadline that somebody sets at this moment must not be overwritten.
	c.deadline.Lock()
	defer c.deadline.Unlock()
	if d = time.Duration(c.patience.Load()); d > 0 {
		began = time.Now()
		err = c.Conn.SetReadDeadline(began.Add(d - c.late))
	}
	return d, began, err
}

// readHeld reads, and then waits until the limits allow what was read, for a time
// that it returns.
func (c *conn) readHeld(b []byte) (n int, held time.Duration, err error) {
	if !c.paced() {
		n, err = c.Conn.Read(b)
		return n, 0, err
	}
	n, err = c.Conn.Read(b[:c.most(int64(len(b)))])
	switch {
	case n <= 0:
	case n < owed && c.owe(n):
	default:
		began := time.Now()
		if werr := c.waitFor(int64(n)); err == nil {
			err = werr
		}
		held = time.Since(began)
		c.heldBack.Add(int64(held))
	}
	return n, held, err
}

// waited is for how long reads of c have waited for a rate so far.
func (c *conn) waited() time.Duration {
	if c == nil {
		return 0
	}
	return time.Duration(c.heldBack.Load())
}

// SetReadDeadline takes the place of what setPatience has asked for.
func (c *conn) SetReadDeadline(t time.Time) error {
	c.deadline.Lock()
	defer c.deadline.Unlock()
	c.patience.Store(0)
	return c.Conn.SetReadDeadline(t)
}

// SetDeadline takes the place of what setPatience has asked for.
func (c *conn) SetDeadline(t time.Time) error {
	c.deadline.Lock()
	defer c.deadline.Unlock()
	c.patience.Store(0)
	return c.Conn.SetDeadline(t)
}
