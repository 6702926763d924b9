package weirhttp

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"syscall"
	"time"

	"github.com/weir-go/weir"
	"github.com/weir-go/weir/weirhttp/internal/budget"
	"github.com/weir-go/weir/weirhttp/internal/meter"
	"github.com/weir-go/weir/weirhttp/internal/quota"
	"github.com/weir-go/weir/weirhttp/internal/writeback"
)

// kernelLeast is the shortest body that the kernel moves, in bytes. Of a shorter one,
// net/http would try to read the rest, which the kernel has moved already.
const kernelLeast = 1 << 20

// kernelConn returns the connection of r if the kernel can read the rest of the body from
// it, and nil otherwise.
func kernelConn(r *http.Request) net.Conn {
	c := netConnOf(r)
	if _, ok := c.(syscall.Conn); !ok || !canSplice || r.ProtoMajor != 1 || r.TLS != nil || r.ContentLength < kernelLeast {
		return nil
	}
	if b, ok := r.Body.(*requestBody); !ok || !isOwnBody(b.body) {
		return nil
	}
	return c
}

// kernelCopy moves the body of a request from its connection into a file.
type kernelCopy struct {
	conn  net.Conn
	body  *requestBody
	file  *os.File // its offset is where to write
	left  int64    // bytes of the body
	hold  *quota.Hold
	n     int64 // bytes moved
	x     *transfer
	early writeback.Flusher

	budget *weir.Budget // for pieces that pass through the process; nil: no limit
	queue  time.Duration
}

// run moves the body as the transfer x. It is not a flow, since the bytes do not pass
// through the process, but it accounts for its time like one. Between two pieces it looks
// at ctx. A caller that cancels ctx must also set a read deadline, which ends the wait for the
// client.
//
// run takes the memory of one of the smallest pieces from the budget. Bytes that wait in
// the pipe are in the kernel's memory.
func (k *kernelCopy) run(ctx context.Context, x *transfer) error {
	least := int64(pieceSizes[0])
	if err := budget.Acquire(ctx, k.budget, k.queue, least); err != nil {
		return fmt.Errorf("reserve memory for the upload: %w", err)
	}
	defer budget.Release(k.budget, least)
	k.body.beside = true
	k.x = x
	x.kernel.Store(true)
	err := k.ahead(ctx)
	if err == nil && k.left > 0 {
		err = k.splice(ctx)
	}
	k.body.ended = err == nil
	return err
}

// ahead copies the bytes in the buffer of net/http. A Read of at least the length of that
// buffer empties it, or reads past it.
func (k *kernelCopy) ahead(ctx context.Context) error {
	p := newPiece(0)
	defer p.free()
	if err := k.next(ctx); err != nil {
		return err
	}
	k.x.meter.Enter(meter.Client)
	n, err := k.body.Read(p.buf)
	k.x.meter.Enter(meter.Moving)
	if n > 0 {
		if n, werr := k.file.Write(p.buf[:n]); werr != nil {
			k.moved(int64(n))
			return werr
		}
		k.moved(int64(n))
	}
	if err == io.EOF && k.left > 0 {
		err = io.ErrUnexpectedEOF
	}
	if err != nil {
		return fromClient(err)
	}
	return nil
}

// next extends the deadline for the next piece.
func (k *kernelCopy) next(ctx context.Context) error {
	if err := k.body.extend(); err != nil {
		return err
	}
	if ctx.Err() != nil { // extend can have overwritten the deadline that interrupts us
		return context.Cause(ctx)
	}
	return nil
}

// copy moves the rest through memory. If there is no more memory now, it uses pieces of
// the smallest size, whose memory run has taken already.
func (k *kernelCopy) copy(ctx context.Context) error {
	class := 0
	if more := int64(pieceSizes[1] - pieceSizes[0]); budget.TryAcquire(k.budget, more) {
		defer budget.Release(k.budget, more)
		class = 1
	}
	p := newPiece(class)
	defer p.free()
	for k.left > 0 {
		if err := k.next(ctx); err != nil {
			return err
		}
		k.x.meter.Enter(meter.Client)
		began := time.Now()
		n, err := k.conn.Read(p.buf[:min(int64(len(p.buf)), k.left)])
		k.x.meter.Enter(meter.Moving)
		err = k.body.judge(int64(n), time.Since(began), err)
		if n > 0 {
			m, werr := k.file.Write(p.buf[:n])
			k.moved(int64(m))
			if werr != nil {
				return werr
			}
		}
		if err == io.EOF && k.left > 0 {
			err = io.ErrUnexpectedEOF
		}
		if err != nil && k.left > 0 {
			return fromClient(err)
		}
	}
	return nil
}

func (k *kernelCopy) moved(n int64) {
	k.n += n
	k.left -= n
	k.hold.Wrote(n)
	k.x.add(n)
	k.early.Wrote(k.file, n)
}
