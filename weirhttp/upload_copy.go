package weirhttp

import (
	"context"
	"fmt"
	"io"
	"sync"
	"time"

	"github.com/weir-go/weir"
)

// piece is what travels from the client to the file: larger than what flows of
// bytes hand on, since half of the time of an upload goes into system calls.
type piece struct {
	buf []byte
	n   int
}

// pieceSizes are the sizes of pieces. An upload begins with the smallest and
// goes on with the next one when the client has filled two in a row.
var pieceSizes = [...]int{8 << 10, 64 << 10, 256 << 10, 1 << 20}

// piecesAtATime is how many pieces an upload holds: one is read into while the
// other one is written.
const piecesAtATime = 2

var piecePools = [len(pieceSizes)]sync.Pool{}

func newPiece(class int) *piece {
	if p, ok := piecePools[class].Get().(*piece); ok {
		return p
	}
	return &piece{buf: make([]byte, pieceSizes[class])}
}

func (p *piece) free() {
	for class, size := range pieceSizes {
		if len(p.buf) == size {
			piecePools[class].Put(p)
		}
	}
}

// copy moves the body into the file: a flow of two lanes, of which one reads
// from the client while the other one writes.
func (u *Uploads) copy(ctx context.Context, in io.Writer, body *requestBody, sums io.Writer, x *transfer) error {
	c := &clientReader{body: body, spare: make(chan *piece, piecesAtATime+1), budget: u.Budget}
	if err := c.reserve(ctx, u.Queue); err != nil {
		return err
	}
	defer c.release()
	flow := weir.From(weir.Source[*piece]{Name: "client", Open: c.open}).
		To(weir.Sink[*piece]{Name: "write", Open: func(context.Context) (weir.Writer[*piece], error) {
			return &pieceWriter{c: c, to: in, sums: sums, x: x}, nil
		}})
	flow.Name = "upload"
	flow.Limit = weir.Items(piecesAtATime)
	x.watch(flow)
	return flow.Run(withoutEnd(ctx))
}

// clientReader is the body of a request as the beginning of a flow.
type clientReader struct {
	body   *requestBody
	ctx    context.Context
	spare  chan *piece // pieces that were written
	budget *weir.Budget
	class  int // index of pieceSizes
	full   int // how many pieces in a row were filled
	most   int // the largest class that is of use
	taken  int64
}

// reserve takes the memory for the smallest pieces.
func (c *clientReader) reserve(ctx context.Context, queue time.Duration) error {
	for c.most < len(pieceSizes)-1 && (c.body.length < 0 || c.body.length > int64(pieceSizes[c.most])) {
		c.most++
	}
	n := int64(piecesAtATime * pieceSizes[0])
	if err := acquire(ctx, c.budget, queue, n); err != nil {
		return fmt.Errorf("wait for the memory of an upload: %w", err)
	}
	c.taken = n
	return nil
}

// release gives back all pieces and what was taken for them.
func (c *clientReader) release() {
	for {
		select {
		case p := <-c.spare:
			p.free()
			continue
		default:
		}
		break
	}
	giveBack(c.budget, c.taken)
}

// grow goes on with larger pieces, if there is memory for them now.
func (c *clientReader) grow() {
	c.full = 0
	if c.class == c.most {
		return
	}
	more := int64(piecesAtATime * (pieceSizes[c.class+1] - pieceSizes[c.class]))
	if !acquireNow(c.budget, more) {
		return
	}
	c.taken += more
	c.class++
}

func (c *clientReader) open(ctx context.Context) (weir.Reader[*piece], error) {
	c.ctx = ctx
	return c, nil
}

// Read fills one piece with what has come.
func (c *clientReader) Read(dst []*piece) (int, error) {
	p := c.next()
	if err := c.body.extend(); err != nil {
		c.put(p)
		return 0, err
	}
	if c.ctx.Err() != nil { // the deadline that interrupts may have come before ours
		c.put(p)
		return 0, context.Cause(c.ctx)
	}
	n, err := c.body.Read(p.buf)
	if n == 0 {
		c.put(p)
		return 0, err
	}
	if n < len(p.buf) {
		c.full = 0
	} else if c.full++; c.full == 2 {
		c.grow()
	}
	p.n = n
	dst[0] = p
	return 1, err
}

func (c *clientReader) next() *piece {
	for {
		select {
		case p := <-c.spare:
			if len(p.buf) == pieceSizes[c.class] {
				return p
			}
			p.free()
		default:
			return newPiece(c.class)
		}
	}
}

func (c *clientReader) put(p *piece) {
	select {
	case c.spare <- p:
	default:
		p.free()
	}
}

// SetReadDeadline interrupts a Read when the flow ends.
func (c *clientReader) SetReadDeadline(t time.Time) error { return c.body.SetReadDeadline(t) }

// pieceWriter is the file as the end of a flow.
type pieceWriter struct {
	c    *clientReader
	to   io.Writer
	sums io.Writer
	x    *transfer
}

func (w *pieceWriter) Write(pieces []*piece) (int, error) {
	for i, p := range pieces {
		n, err := w.to.Write(p.buf[:p.n])
		w.x.add(int64(n))
		w.sums.Write(p.buf[:n])
		w.c.put(p)
		if err != nil {
			return i, err
		}
	}
	return len(pieces), nil
}
