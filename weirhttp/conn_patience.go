package weirhttp

import "time"

// setPatience makes each Read wait for at most d from now on, until somebody sets a
// deadline: net/http, when a request's body has come to its end, or a handler
// that has one of its own.
func (c *conn) setPatience(d time.Duration) { c.patience.Store(int64(d)) }

// read is Read where nothing was read early.
func (c *conn) read(b []byte) (int, error) {
	if d := c.patience.Load(); d > 0 {
		if err := c.Conn.SetReadDeadline(time.Now().Add(time.Duration(d))); err != nil {
			return 0, err
		}
	}
	return c.Conn.Read(b)
}

// SetReadDeadline takes the place of setPatience.
func (c *conn) SetReadDeadline(t time.Time) error {
	c.patience.Store(0)
	return c.Conn.SetReadDeadline(t)
}

// SetDeadline takes the place of setPatience.
func (c *conn) SetDeadline(t time.Time) error {
	c.patience.Store(0)
	return c.Conn.SetDeadline(t)
}
