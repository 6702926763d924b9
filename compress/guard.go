package compress

import (
	"fmt"
	"io"

	"github.com/weir-go/weir"
)

// guard stops what is too large, and keeps the decoder's error apart from that
// of the writer.
type guard struct {
	r      io.Reader
	in     *input
	c      config
	format string
	n      int64
	ended  bool
	err    error
}

// freeRatio is how much may come out whatever the ratio.
const freeRatio = 1 << 20

func (g *guard) Read(p []byte) (int, error) {
	left := int64(len(p))
	if g.c.maxOut >= 0 {
		left = min(left, g.c.maxOut-g.n)
	}
	if g.c.maxRatio > 0 {
		// Compared as floats: a large ratio must not overflow.
		if most := freeRatio + g.c.maxRatio*float64(g.in.src.n); most < float64(g.n+left) {
			left = int64(most) - g.n
		}
	}
	if left <= 0 && len(p) > 0 {
		// Is there more at all?
		var one [1]byte
		n, err := io.ReadFull(g.r, one[:])
		if n == 0 {
			return 0, g.note(err)
		}
		return 0, g.note(fmt.Errorf("%w: more than %s from %s of %s data", ErrTooLarge,
			weir.FormatBytes(g.n), weir.FormatBytes(g.in.offset()), g.format))
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
