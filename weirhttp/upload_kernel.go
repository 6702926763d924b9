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
)

type uploadConnKey struct{}

// ConnContext is for the field of that name in [http.Server]. With it the kernel
// moves the bytes of large uploads from the connection into the file (splice),
// which takes about half the CPU time of copying them. It does so on Linux, with
// HTTP/1 and without TLS, for a body of known length that needs no digest and
// that no handler in front has wrapped; the connection is closed behind such an
// upload.
//
//	srv := &http.Server{Handler: mux, ConnContext: weirhttp.ConnContext}
func ConnContext(ctx context.Context, c net.Conn) context.Context {
	return context.WithValue(ctx, uploadConnKey{}, c)
}

// kernelLeast is the least length of a body that the kernel moves. Of a shorter
// one net/http would try to drain the rest itself, which the kernel has already
// moved.
const kernelLeast = 1 << 20

// kernelConn returns the connection of r if the kernel can read the rest of the body
// from it.
func kernelConn(r *http.Request) net.Conn {
	c, _ := r.Context().Value(uploadConnKey{}).(net.Conn)
	if _, ok := c.(syscall.Conn); !ok || !canSplice || r.ProtoMajor != 1 || r.TLS != nil || r.ContentLength < kernelLeast {
		return nil
	}
	if b, ok := r.Body.(*requestBody); !ok || !isOwn(b.body) {
		return nil
	}
	return c
}

// isOwn reports whether body is that of net/http itself. What somebody has put
// around it, to limit or to decode it, would not see the bytes that the kernel
// moves. The types have no exported name; under another one all is copied.
func isOwn(body io.ReadCloser) bool {
	switch fmt.Sprintf("%T", body) {
	case "*http.body", "*http.expectContinueReader":
		return true
	}
	return false
}

// kernelCopy moves the body of a request from its connection into a file.
type kernelCopy struct {
	conn  net.Conn
	body  *requestBody
	first io.Reader // the body, as far as net/http has read ahead
	file  *os.File  // at the place to write to
	left  int64     // of the body
	hold  *hold
	n     int64 // moved
	x     *transfer
	early earlyFlush

	budget *weir.Budget // for the pieces that pass through the process; nil: none
	queue  time.Duration
}

// run moves the body as the transfer x. It is no flow, since nothing passes
// through the process, but its time is accounted for as that of one. It looks at
// ctx between two pieces: whoever ends that must also set a read deadline, which
// ends the wait for the client.
//
// From the budget it takes one of the smallest pieces. What waits in the pipe is
// the kernel's.
func (k *kernelCopy) run(ctx context.Context, x *transfer) error {
	least := int64(pieceSizes[0])
	if err := acquire(ctx, k.budget, k.queue, least); err != nil {
		return fmt.Errorf("wait for the memory of an upload: %w", err)
	}
	defer giveBack(k.budget, least)
	k.body.beside = true
	k.x = x
	x.kernel.Store(true)
	err := k.ahead()
	if err == nil && k.left > 0 {
		err = k.splice(ctx)
	}
	k.body.ended = err == nil
	return err
}

// ahead takes what net/http has in its buffer: a Read of at least the length of
// that buffer empties it, or reads past it.
func (k *kernelCopy) ahead() error {
	p := newPiece(0)
	defer p.free()
	if err := k.body.extend(); err != nil {
		return err
	}
	k.x.meter.enter(phaseClient)
	n, err := k.first.Read(p.buf)
	k.x.meter.enter(phaseMoving)
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

// next gives the client its time for the next piece.
func (k *kernelCopy) next(ctx context.Context) error {
	if err := k.body.extend(); err != nil {
		return err
	}
	if ctx.Err() != nil { // the deadline that interrupts may have come before ours
		return context.Cause(ctx)
	}
	return nil
}

// copy moves what is left through memory: in pieces of the smallest size, for
// which there is memory already, where there is no more now.
func (k *kernelCopy) copy(ctx context.Context) error {
	class := 0
	if more := int64(pieceSizes[1] - pieceSizes[0]); acquireNow(k.budget, more) {
		defer giveBack(k.budget, more)
		class = 1
	}
	p := newPiece(class)
	defer p.free()
	for k.left > 0 {
		if err := k.next(ctx); err != nil {
			return err
		}
		k.x.meter.enter(phaseClient)
		began := time.Now()
		n, err := k.conn.Read(p.buf[:min(int64(len(p.buf)), k.left)])
		k.x.meter.enter(phaseMoving)
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

// fromClient says of an error that it is the client's, as a flow would.
func fromClient(err error) error { return &weir.StageError{Stage: "client", Err: err} }

func (k *kernelCopy) moved(n int64) {
	k.n += n
	k.left -= n
	k.hold.wrote(n)
	k.x.add(n)
	k.early.wrote(k.file, n)
}
