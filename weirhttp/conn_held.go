package weirhttp

import "bytes"

// holdHeader makes the next write wait for the first bytes of its body.
func (c *conn) holdHeader() {
	h := headerBuffers.Get().(*[]byte)
	if cap(*h) > mostHeld { // it has grown, and is not kept
		*h = make([]byte, 0, smallest+1<<10)
	}
	*h = (*h)[:0]
	c.held = h
}

// mostHeld is how long a header is held at most, in bytes.
const mostHeld = 32 << 10

// hold holds b if it belongs to a header that is held, or lets that header go: a
// writer in between may copy the body, and not hand it on.
func (c *conn) hold(b []byte) (held bool, err error) {
	h := c.held
	whole := bytes.HasSuffix(*h, []byte("\r\n\r\n"))
	if !whole && len(*h)+len(b) <= mostHeld {
		*h = append(*h, b...)
		return true, nil
	}
	if err := c.letGo(); err != nil {
		return false, err
	}
	if !whole {
		c.closes = true // it may be said in what follows
	}
	return false, nil
}
