package durable

import (
	"errors"
	"sync"

	"github.com/weir-go/weir/internal/crcpair"
)

// track follows the output of a flow, with its sum and the points of its stage.
// All methods can be called concurrently.
type track struct {
	mu     sync.Mutex
	points []point // in order; the first one is behind no saved byte
	n      int64   // bytes of output
	sum    uint64  // of these bytes

	skip int64  // so many bytes of output are in the sink already
	want uint64 // the sum of these bytes
}

// point is a Point and its place in the input.
type point struct {
	Point
	in int64
}

// begin sets the place where the stage continues.
func (t *track) begin(c Checkpoint) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.skip, t.want = c.Offset, c.Sum
	if c.Point.Stage == "" { // there is no stage, or it begins
		t.n, t.sum = c.Offset, c.Sum
		t.points = []point{{in: c.Source.Offset, Point: Point{Out: c.Offset, Sum: c.Sum}}}
		return
	}
	t.n, t.sum = c.Point.Out, c.Point.Sum
	t.points = []point{{c.Point, c.Source.Offset}}
}

// at adds a point.
func (t *track) at(in, out int64, state []byte) {
	t.mu.Lock()
	defer t.mu.Unlock()
	p := point{Point{Out: out, State: state}, in}
	if out == t.n { // the output is here already; otherwise pass sets Sum
		p.Sum = t.sum
	}
	t.points = append(t.points, p)
}

var errDiffers = errors.New("the output differs from that of the run that is being continued")

// pass counts output that the stage has passed on. It returns the part that the
// sink does not have yet.
func (t *track) pass(p []byte) (rest []byte, err error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	begin, end := t.n, t.n+int64(len(p))
	for {
		next := end
		if t.n < t.skip {
			next = min(next, t.skip)
		}
		for i := range t.points {
			switch pt := &t.points[i]; {
			case pt.Out == t.n:
				pt.Sum = t.sum
			case pt.Out > t.n:
				next = min(next, pt.Out)
			}
		}
		if t.n == t.skip && t.sum != t.want {
			return nil, errDiffers
		}
		if t.n == end {
			break
		}
		t.sum = crcpair.Update(t.sum, p[t.n-begin:next-begin])
		t.n = next
	}
	return p[min(max(t.skip-begin, 0), int64(len(p))):], nil
}

// last returns the last point that is not behind the output, with its place in
// the input, the length of the output and its sum. It forgets the points before.
func (t *track) last() (in int64, p Point, out int64, sum uint64) {
	t.mu.Lock()
	defer t.mu.Unlock()
	i := len(t.points) - 1
	for i > 0 && t.points[i].Out > t.n {
		i--
	}
	t.points = append(t.points[:0], t.points[i:]...)
	return t.points[0].in, t.points[0].Point, t.n, t.sum
}

// written returns how much output there is.
func (t *track) written() int64 {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.n
}
