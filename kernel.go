package weir

import (
	"context"
	"errors"
	"io"
	"io/fs"
	"net"
	"sync"
	"time"

	"github.com/weir-go/weir/internal/clock"
	"github.com/weir-go/weir/internal/kernelcopy"
	"github.com/weir-go/weir/report"
)

// Copy copies from src to dst until the end of src, and returns how many bytes
// reached dst. Between two files, or a file and a socket, the kernel moves the
// bytes (copy_file_range, sendfile, splice), in pieces, so that the end of ctx
// is noticed; a blocked call is unblocked by a deadline. The error is then
// context.Cause(ctx). Neither end is closed, unless nothing else unblocks it.
func Copy(ctx context.Context, dst io.Writer, src io.Reader) (int64, error) {
	n, err := kernelcopy.Copy(ctx, dst, src, kernelcopy.Options{})
	if err != nil {
		err = wrapf("copy", err)
	}
	return n, err
}

// origin is a source the kernel may copy from by itself.
type origin struct {
	like io.Reader // a reader of the type that Open returns
	open func(ctx context.Context) (any, error)
}

// kernelFlow builds a flow without stages whose ends the kernel can connect,
// and reports whether it did.
func kernelFlow[T any](b *plan, s Stream[T], k Sink[T], ln *lane, to *spot, w *Writer[T]) bool {
	n := s.n
	like, ok := k.Like.(io.Writer)
	if n == nil || n.err != nil || n.async || n.origin == nil || !ok {
		return false
	}
	path := kernelcopy.Path(like, n.origin.like)
	if path == "" || s.check(b, to.st) == nil {
		return false
	}
	from := ln.place(addStage[T, T](b, n.name, report.KindSource, to.st))
	to.st.kernel = path
	clock := &copyClock{}
	from.st.copy, to.st.copy = clock, clock
	to.st.holds = kernelcopy.Memory(like, n.origin.like)
	var r any
	b.open(from, func() (func(error) error, error) {
		var err error
		if r, err = n.origin.open(ln.source); err != nil {
			if r = nil; ln.source.Err() != nil && from.stopped(err) {
				return nil, nil // told to take no more input while it opened
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
		_, err := kernelcopy.Copy(ln.ctx, (*w).(io.Writer), bounded(r), kernelcopy.Options{
			Observer: clock,
			Stop:     ln.source.Done(),
			Progress: func(n int64) {
				from.st.out.Add(n)
				to.st.in.Add(n)
			},
		})
		if f, ok := r.(*fileReader); ok && err == nil {
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
	return true
}

// bounded makes the end of a file range visible to the copy.
func bounded(r any) io.Reader {
	if f, ok := r.(*fileReader); ok && f.left >= 0 {
		return &io.LimitedReader{R: f, N: f.left}
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

// copyClock keeps account of the time of a copy that the kernel may make. The
// goroutine of the copy moves it; anyone may read it.
type copyClock struct {
	mu    sync.Mutex
	runs  bool
	at    kernelcopy.Activity
	since int64    // when the activity began
	spent [3]int64 // nanoseconds for each activity
	known kernelcopy.Spent
	path  string
}

func (c *copyClock) begin() {
	c.mu.Lock()
	c.runs, c.at, c.since = true, kernelcopy.Reading, clock.Now()
	c.mu.Unlock()
}

func (c *copyClock) end() {
	c.mu.Lock()
	c.turn(clock.Now())
	c.runs = false
	c.mu.Unlock()
}

// turn books the time until t. mu is held.
func (c *copyClock) turn(t int64) {
	c.spent[c.at] += t - c.since
	c.since = t
}

// Enter implements [kernelcopy.Observer].
func (c *copyClock) Enter(a kernelcopy.Activity) {
	c.mu.Lock()
	c.turn(clock.Now())
	c.at = a
	c.mu.Unlock()
}

// Settle implements [kernelcopy.Observer].
func (c *copyClock) Settle(s kernelcopy.Spent) {
	c.mu.Lock()
	k := &c.known
	k.Copy += s.Copy
	k.Read += s.Read
	k.Write += s.Write
	k.MaybeRead += s.MaybeRead
	k.MaybeWrite += s.MaybeWrite
	c.mu.Unlock()
}

// Path implements [kernelcopy.Observer].
func (c *copyClock) Path(name string) {
	c.mu.Lock()
	if name != "" {
		c.path = name
	}
	c.mu.Unlock()
}

// used is the system call that has moved bytes, or empty.
func (c *copyClock) used() string {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.path
}

// reading reports whether the copy was waiting for its source at the end.
func (c *copyClock) reading() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.at == kernelcopy.Reading
}

// share gives the source or sink s its view of the copy until t.
func (c *copyClock) share(s *report.StageStats, t int64) {
	c.mu.Lock()
	defer c.mu.Unlock()
	spent := c.spent
	if c.runs {
		spent[c.at] += max(0, t-c.since)
	}
	// What is known about the calls that do both is taken out of them. The
	// clocks of the two were read one after the other.
	moving := time.Duration(spent[kernelcopy.Moving])
	take := func(d time.Duration) time.Duration {
		d = min(d, moving)
		moving -= d
		return d
	}
	s.Busy = take(c.known.Copy)
	reads := time.Duration(spent[kernelcopy.Reading]) + take(c.known.Read)
	writes := time.Duration(spent[kernelcopy.Writing]) + take(c.known.Write)
	s.Unknown = moving
	maybeRead := min(moving, c.known.MaybeRead)
	maybeWrite := min(moving-maybeRead, c.known.MaybeWrite)
	if s.Kind == report.KindSource {
		s.Outside, s.Blocked, s.Hidden = reads, writes, maybeRead
	} else {
		s.Outside, s.Starved, s.Hidden = writes, reads, maybeWrite
	}
	s.Wall = s.Busy + reads + writes + s.Unknown
	s.Copied = true
}
