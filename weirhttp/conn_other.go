//go:build !linux

package weirhttp

import "io"

// canPark says that downloads stay with net/http on this platform.
const canPark = false

const openFlags = 0

// sendFile sends h and then n bytes of s through memory.
func (c *conn) sendFile(h []byte, s *span, n int64) (int64, error) {
	if len(h) > 0 {
		m, err := c.tcp.Write(h)
		c.wrote.Add(int64(m))
		if err != nil {
			return 0, err
		}
	}
	return io.CopyBuffer(counted{c}, io.LimitReader(s, n), make([]byte, min(n, 32<<10)+1))
}

// counted counts each write. On this platform that is all we know about the client's
// progress.
type counted struct{ c *conn }

func (w counted) Write(b []byte) (int, error) {
	n, err := w.c.tcp.Write(b)
	w.c.gave(int64(n))
	return n, err
}
