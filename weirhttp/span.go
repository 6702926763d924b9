package weirhttp

import (
	"io"
)

// span is a part of a file on its way to one client, or the contents of a
// small one.
type span struct {
	body []byte // of a small file; nil: the file is read
	f    *file
	off  int64
	left int64
	try  bool // stop where a write would wait
	x    *transfer
}

// Read makes a span readable where the kernel cannot send it.
func (s *span) Read(b []byte) (n int, err error) {
	if s.left == 0 {
		return 0, io.EOF
	}
	b = b[:min(int64(len(b)), s.left)]
	if s.body != nil {
		n = copy(b, s.body[s.off:])
	} else {
		n, err = s.f.ReadAt(b, s.off)
	}
	s.advance(int64(n))
	switch {
	case n > 0:
		return n, nil
	case err == io.EOF:
		return 0, ErrTruncated
	}
	return 0, err
}

func (s *span) advance(n int64) {
	s.off += n
	s.left -= n
	if s.x != nil {
		s.x.add(n)
	}
}

// meter returns what keeps account of the time of s, nil if s is no transfer.
func (s *span) meter() *meter {
	if s.x == nil {
		return nil
	}
	return &s.x.meter
}

// sendBody sends a small file behind the header h, which may be nil, in one
// write.
func (c *conn) sendBody(h *[]byte, s *span) (int64, error) {
	body, head := s.body[s.off:s.off+s.left], 0
	if h != nil {
		head = len(*h)
		*h = append(*h, body...)
		body = *h
	}
	n, err := c.Write(body)
	sent := int64(max(0, n-head))
	s.advance(sent)
	return sent, err
}

// sendSpan sends what is left of s, and the header that was held in front of
// it. It waits for the client unless s.try is set. It returns how much of s was
// sent.
func (c *conn) sendSpan(s *span) (n int64, err error) {
	var head []byte
	h := c.takeHeld()
	if h != nil {
		defer headerBuffers.Put(h)
		head = *h
	}
	if s.body != nil {
		return c.sendBody(h, s)
	}
	c.writing.Add(1)
	defer c.writing.Add(-1)
	if !c.paced() {
		n, err = c.sendFile(head, s, s.left)
		return n, c.cause(err)
	}
	// What is paced waits, and need not try.
	n, err = c.sendFile(head, s, 0)
	for s.left > 0 && !s.try && err == nil {
		var seg, m int64
		if seg, err = c.allow(s.left); err == nil {
			m, err = c.sendFile(nil, s, seg)
			n += m
		}
	}
	return n, c.cause(err)
}
