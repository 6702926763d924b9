package compress

import (
	"fmt"
	"io"

	"github.com/weir-go/weir"
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

// left returns how many of n bytes may be passed on, after done bytes have
// been, and the decoder has read read bytes.
func (c *config) left(done, n, read int64) int64 {
	if c.maxOut >= 0 {
		n = min(n, c.maxOut-done)
	}
	if c.maxRatio > 0 {
		// Compared as floats: a large ratio must not overflow.
		if most := freeRatio + c.maxRatio*float64(read); most < float64(done+n) {
			n = int64(most) - done
		}
	}
	return max(n, 0)
}

// tooLarge is the error of output that may be no larger than done.
func (c *config) tooLarge(done, offset int64, format string) error {
	e := &weir.LimitError{Err: ErrTooLarge, Option: "MaxRatio", Max: int64(c.maxRatio)}
	if c.maxOut >= 0 && done >= c.maxOut {
		e.Option, e.Max = "MaxOutput", c.maxOut
	}
	e.Detail = fmt.Sprintf("more than %s from %s of %s data", weir.FormatBytes(done), weir.FormatBytes(offset), format)
	return e
}

func (g *guard) note(err error) error {
	if err == io.EOF {
		g.ended = true
	} else if err != nil {
		g.err = err
	}
	return err
}
