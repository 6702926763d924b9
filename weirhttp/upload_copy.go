package weirhttp

import (
	"context"
	"fmt"
	"io"
	"sync"
	"time"

	"github.com/weir-go/weir"
	"github.com/weir-go/weir/weirhttp/internal/budget"
)

// piece is a buffer that carries bytes from the client to the file. Pieces are larger
// than the buffers of ordinary flows, since half of the time of an upload goes into
// system calls.
type piece struct {
	buf []byte
	n   int
}

// pieceSizes are the sizes of pieces. An upload begins with the smallest, and uses the
// next one after the client has filled two in a row.
var pieceSizes = [...]int{8 << 10, 64 << 10, 256 << 10, 1 << 20}

// piecesAtATime is how many pieces an upload holds: it reads into one while it writes the
// other one.
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

// clientReader copies the body of a request into a file. It is the source of the flow.
type clientReader struct {
	body   *requestBody
	budget *weir.Budget // nil: no limit
	queue  time.Duration

	// keep says that bytes are kept although the client broke off. The flow then ends
	// well, and copyTo returns the error after everything that came before is written.
	keep bool
	// stop, if not nil, ends the upload as if the client had disconnected. The caller that ends
	// it must also set a read deadline, which interrupts a Read.
	stop context.Context

	ctx    context.Context // of the flow
	broken error           // with keep: why the client broke off
	spare  chan *piece     // pieces to use again
	class  int             // index of pieceSizes
	full   int             // how many pieces in a row were filled
	most   int             // the largest class that is useful
	taken  int64           // bytes from the budget
}

// copyTo copies the body to to: a flow of two lanes, one of which reads from the client
// while the other one writes.
func (c *clientReader) copyTo(ctx context.Context, to io.Writer, sums io.Writer, x *transfer) error {
	c.spare = make(chan *piece, piecesAtATime+1)
	if err := c.reserve(ctx); err != nil {
		return err
	}
	defer c.release()
	flow := weir.From(weir.Source[*piece]{Name: "client", Open: c.open}).
		To(weir.Sink[*piece]{Name: "write", Open: func(context.Context) (weir.Writer[*piece], error) {
			return &pieceWriter{c: c, to: to, sums: sums, x: x}, nil
		}})
	flow.Name = "upload"
	flow.Limit = weir.Items(piecesAtATime)
	x.watch(flow)
	if err := flow.Run(withoutEnd(ctx)); err != nil {
		return err
	}
	if c.broken != nil {
		return fromClient(c.broken)
	}
	return nil
}

// withoutEnd returns ctx without its cancellation. net/http cancels the context of a
// request when any read of the body fails. The error of that read says more, and a client
// that disconnects makes the read fail too.
func withoutEnd(ctx context.Context) context.Context { return context.WithoutCancel(ctx) }

// reserve takes the memory for the smallest pieces.
func (c *clientReader) reserve(ctx context.Context) error {
	for c.most < len(pieceSizes)-1 && (c.body.length < 0 || c.body.length > int64(pieceSizes[c.most])) {
		c.most++
	}
	n := int64(piecesAtATime * pieceSizes[0])
	if err := budget.Acquire(ctx, c.budget, c.queue, n); err != nil {
		return fmt.Errorf("reserve memory for the upload: %w", err)
	}
	c.taken = n
	return nil
}

// release frees all pieces and returns their memory to the budget.
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
	budget.Release(c.budget, c.taken)
}

// grow changes to larger pieces if there is memory for them now.
func (c *clientReader) grow() {
	c.full = 0
	if c.class == c.most {
		return
	}
	more := int64(piecesAtATime * (pieceSizes[c.class+1] - pieceSizes[c.class]))
	if !budget.TryAcquire(c.budget, more) {
		return
	}
	c.taken += more
	c.class++
}

func (c *clientReader) open(ctx context.Context) (weir.Reader[*piece], error) {
	c.ctx = ctx
	return c, nil
}

// Read fills one piece with bytes from the client.
func (c *clientReader) Read(dst []*piece) (int, error) {
	p := c.next()
	n, err := c.readBody(p.buf)
	if err != nil && err != io.EOF && c.keep && c.ctx.Err() == nil {
		c.broken, err = err, io.EOF
	}
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

func (c *clientReader) readBody(b []byte) (int, error) {
	if err := c.body.extend(); err != nil {
		return 0, err
	}
	// extend can have overwritten the deadline by which either of these interrupts us.
	if c.ctx.Err() != nil {
		return 0, context.Cause(c.ctx)
	}
	if c.stop != nil && c.stop.Err() != nil {
		return 0, context.Cause(c.stop)
	}
	return c.body.Read(b)
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

// pieceWriter is the file as the sink of the flow.
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
