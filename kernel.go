package weir

import (
	"context"
	"errors"
	"io"
	"io/fs"
	"net"

	"github.com/weir-go/weir/internal/kernelcopy"
	"github.com/weir-go/weir/report"
)

// Copy copies from src to dst until the end of src, and returns how many bytes
// reached dst. Between two files, or a file and a socket, the kernel moves the
// bytes (copy_file_range, sendfile, splice), in pieces, so that the end of ctx
// is noticed; a blocked call is unblocked by a deadline. The error is then
// context.Cause(ctx). Copy closes an end only if nothing else can unblock a
// call on it.
func Copy(ctx context.Context, dst io.Writer, src io.Reader) (int64, error) {
	n, err := kernelcopy.Copy(ctx, dst, src, kernelcopy.Options{})
	if err != nil {
		err = wrapf("copy", err)
	}
	return n, err
}

// kernelPath returns the name of the system call that can move bytes from a source to
// a sink like the given one, or empty. from is nil unless the source has no stages.
func kernelPath(to any, from *origin) string {
	like, ok := to.(io.Writer)
	if !ok || from == nil {
		return ""
	}
	return kernelcopy.Path(like, from.like)
}

// kernelFlow builds a flow without stages, of the source name, whose ends the kernel
// can connect by path. k ends the sink, which is like the given one.
func kernelFlow(b *plan, name string, o *origin, like any, path string, ln *lane, k *sinkEnd) {
	to := k.sp
	from := ln.place(b.addStage(name, report.KindSource, to.st, true, true))
	to.st.kernel = path
	clock := &copyClock{}
	from.st.copy, to.st.copy = clock, clock
	to.st.holds = kernelcopy.Memory(like.(io.Writer), o.like)
	var r any
	b.open(from, func() (func(error) error, error) {
		var err error
		if r, err = o.open(ln.source); err != nil {
			if r = nil; ln.source.Err() != nil && from.stopped(err) {
				return nil, nil // Flow.Stop was called while it opened
			}
			return nil, err
		}
		return func(cause error) error { return closeWith(r, cause) }, nil
	})
	ln.main = func() error {
		end := func() error { return to.finish(func() error { return nil }) }
		if r == nil {
			return from.finish(end)
		}
		ln.Enter(to.outside())
		clock.begin()
		defer clock.end()
		_, err := kernelcopy.Copy(ln.ctx, k.w.(io.Writer), bounded(r), kernelcopy.Options{
			Observer: clock,
			Stop:     ln.source.Done(),
			Progress: func(n int64) {
				from.st.out.Add(n)
				to.st.in.Add(n)
			},
		})
		stopped := ln.source.Err() != nil // Flow.Stop was called: the copy may have ended before the file
		if f, ok := r.(ranged); ok && err == nil && !stopped {
			if err = f.ended(); err != nil {
				return from.fail(err)
			}
		}
		switch {
		case isStop(err):
			return to.enoughFrom(end)
		case reading(err) || err != nil && clock.reading():
			return from.fail(err)
		case err != nil:
			return to.fail(err)
		}
		return from.finish(end)
	}
}

// ranged is a source that knows where it ends: a file, or a part of one.
type ranged interface {
	io.Reader
	remaining() int64 // negative: up to the end
	ended() error     // called at the end: an error if the file was longer when it was opened
}

// bounded makes the end of a range visible to the copy.
func bounded(r any) io.Reader {
	if f, ok := r.(ranged); ok && f.remaining() >= 0 {
		return &io.LimitedReader{R: f, N: f.remaining()}
	}
	return r.(io.Reader)
}

// reading reports whether err is one that only a source returns.
func reading(err error) bool {
	var pe *fs.PathError
	if errors.As(err, &pe) {
		return pe.Op == "read"
	}
	var ne *net.OpError
	return errors.As(err, &ne) && ne.Op == "read"
}
