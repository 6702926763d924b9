package weirhttp

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"runtime"
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

// kernelLeast is the least length of a body that the kernel moves. net/http must
// not take what it knows to be missing for a rest that it reads to the end.
const kernelLeast = 1 << 20

// kernelConn returns the connection of r if the kernel can read the rest of the body
// from it.
func kernelConn(r *http.Request) net.Conn {
	c, _ := r.Context().Value(uploadConnKey{}).(net.Conn)
	if _, ok := c.(syscall.Conn); !ok || runtime.GOOS != "linux" || r.ProtoMajor != 1 || r.TLS != nil || r.ContentLength < kernelLeast {
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
}

// run is a flow of one stage, since nothing passes through the process. The end
// of ctx interrupts it.
func (k *kernelCopy) run(ctx context.Context, x *transfer) error {
	k.body.beside = true
	flow := weir.Generate("client", func(_ context.Context, emit func([]int64) error) error { return k.move(ctx, emit) }).
		To(weir.EachBatch(func(_ context.Context, moved []int64) error {
			for _, n := range moved {
				x.add(n)
			}
			return nil
		}))
	flow.Name = "upload"
	x.watch(flow)
	err := flow.Run(withoutEnd(ctx))
	k.body.ended = err == nil
	return err
}

func (k *kernelCopy) move(ctx context.Context, emit func([]int64) error) error {
	if err := k.ahead(); err != nil {
		return err
	}
	if err := emit([]int64{k.n}); err != nil {
		return err
	}
	for step := int64(256 << 10); k.left > 0; {
		begun := time.Now()
		n, err := k.piece(ctx, min(step, k.left))
		if eerr := emit([]int64{n}); err == nil {
			err = eerr
		}
		if err != nil {
			return err
		}
		// A piece is long enough not to cost, and short enough to be seen.
		switch took := time.Since(begun); {
		case took < 50*time.Millisecond && step < 16<<20:
			step *= 2
		case took > 500*time.Millisecond && step > 64<<10:
			step /= 2
		}
	}
	return nil
}

// ahead takes what net/http has in its buffer: a Read of at least the length of
// that buffer empties it, or reads past it.
func (k *kernelCopy) ahead() error {
	p := newPiece(0)
	defer p.free()
	if err := k.body.extend(); err != nil {
		return err
	}
	n, err := k.first.Read(p.buf)
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
	return err
}

func (k *kernelCopy) moved(n int64) {
	k.n += n
	k.left -= n
	k.hold.wrote(n)
}

// piece moves up to n bytes, or those that come before the client's time is up.
func (k *kernelCopy) piece(ctx context.Context, n int64) (int64, error) {
	until := time.Now().Add(k.body.stall)
	if err := k.body.extend(); err != nil {
		return 0, err
	}
	if ctx.Err() != nil { // the deadline that interrupts may have come before ours
		return 0, context.Cause(ctx)
	}
	n, err := k.file.ReadFrom(&io.LimitedReader{R: k.conn, N: n})
	k.moved(n)
	switch {
	case err == nil && n == 0:
		return 0, io.ErrUnexpectedEOF
	case n > 0 && errors.Is(err, os.ErrDeadlineExceeded) && !time.Now().Before(until):
		return n, nil // it was slow, but not silent
	}
	return n, err
}
