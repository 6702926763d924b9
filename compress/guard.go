package compress

import (
	"io"
)

// guard limits the output of a decoder, and separates the decoder's error from
// the writer's.
type guard struct {
	r      io.Reader
	in     *input
	c      config
	format string
	n      int64
	ended  bool
	err    error
}

// freeRatio is how many bytes of output are exempt from the ratio.
const freeRatio = 1 << 20

func (g *guard) Read(p []byte) (int, error) {
	left := g.c.left(g.n, int64(len(p)), g.in.src.n)
	if left <= 0 && len(p) > 0 {
		// Is there more at all?
		var one [1]byte
		n, err := io.ReadFull(g.r, one[:])
		if n == 0 {
			return 0, g.note(err)
		}
		return 0, g.note(g.c.tooLarge(g.n, g.in.offset(), g.format))
	}
	n, err := g.r.Read(p[:left])
	g.n += int64(n)
	return n, g.note(err)
}

func (g *guard) note(err error) error {
	if err == io.EOF {
		g.ended = true
	} else if err != nil {
		g.err = err
	}
	return err
}
