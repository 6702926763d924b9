package weir

import (
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/weir-go/weir/report"
)

// Source is the beginning of a stream. A Source is a description; each run of a
// flow opens it again.
type Source[T any] struct {
	// Name appears in errors, reports and profiles.
	Name string

	// Open returns the running source. If the reader is an [io.Closer], the flow
	// closes it exactly once when it ends. If Read is waiting at that moment, the
	// flow interrupts it with SetReadDeadline if the reader has that method, and
	// with Close otherwise.
	//
	// A reader that can notice a failure before Read does can have a method
	// Watch(context.Context) error. The flow calls it once, concurrently with
	// Read; it must return when its context ends. An error of Watch ends the flow
	// at once, like an error of Read, even while earlier values wait for room.
	//
	// A reader with a method Peer() string names what Read waits for, such as "the
	// store": reports and verdicts use the name. It is called at any time and
	// concurrently, and must not block. The answer may change; "" means that there
	// is nothing to name. A reader of an edge, a durable buffer that another flow
	// writes, can have a method Edge() report.Edge under the same conditions.
	Open func(ctx context.Context) (Reader[T], error)

	// Holds is the largest number of bytes that a running source holds, apart
	// from the values that it passes on: data that it reads ahead, for example.
	// It is part of the flow's ceiling, and a flow with a [Budget] takes it
	// before it opens anything.
	Holds int64

	// Err is an error in the arguments of the source's constructor. Run returns
	// it before it opens anything.
	Err error

	// Like, if it is not nil, is a reader of the type that Open returns, such as
	// a nil *os.File or *net.TCPConn, or a type around a file with the method
	// OSFile() *os.File. If no stage has to see the bytes of a Source[byte], the
	// kernel can then move them directly from that file or connection to the sink,
	// and Read is not called. See [Copy] for the system calls.
	Like Reader[T]

	inside bool // Read is our own code and does not wait
	given  *given
}

// From begins a stream at a source.
func From[T any](src Source[T]) Stream[T] {
	n := node[T]{name: src.Name, io: !src.inside, err: src.Err}
	if src.given != nil {
		n.roots.given = []*given{src.given}
		open := src.Open
		src.Open = func(ctx context.Context) (Reader[T], error) {
			if err := src.given.take(); err != nil {
				return nil, err
			}
			return open(ctx)
		}
	}
	if like, ok := src.Like.(io.Reader); ok {
		n.origin = &origin{like, func(ctx context.Context) (any, error) { return src.Open(ctx) }}
	}
	if n.err == nil && src.Open == nil {
		n.err = errors.New("no Open function")
	}
	if n.err == nil && src.Holds < 0 {
		n.err = fmt.Errorf("negative Holds %d", src.Holds)
	}
	n.build = func(n *node[T], b *plan, ln *lane, out link[T]) {
		sg := addStage[T, T](b, n.name, report.KindSource, out.to)
		sp := ln.place(sg)
		if src.given != nil {
			b.halves = append(b.halves, half{src.given.x, ln})
		}
		if out.pipe == nil || out.pipe.Gate().Measures() {
			sg.holds = int64(chunkLen[T]()) * slotSize[T]()
		}
		out = linkFrom(out, sp, makes(b, sg, n.size, 1))
		if out.size != nil {
			sg.holds += maxSegment
		}
		sg.holds += src.Holds
		var r Reader[T]
		var guard *ioGuard
		b.open(sp, func() (func(error) error, error) {
			var err error
			if r, err = src.Open(ln.source); err != nil {
				if ln.source.Err() != nil && sp.stopped(err) {
					r = ended[T]{} // Flow.Stop was called while it opened
					return nil, nil
				}
				return nil, err
			}
			guard = guardIO(sp, r, readDeadline)
			return guard.end, nil
		})
		ln.main = func() error {
			place := sp.outside()
			if src.inside {
				place = sp.busy
			}
			watched := ln.watch(sp, r)
			defer watched()
			ln.Enter(sp.busy)
			var in Reader[T] = &stopReader[T]{ln, r}
			if br, ok := r.(boundedReader[T]); ok {
				in = &boundedStopReader[T]{stopReader[T]{ln, r}, br}
			}
			err := pump(sp, in, out, place, func(int) {})
			if err == io.EOF {
				return sp.finish(out.end)
			}
			failed := ln.ctx.Err() == nil && !sp.stopped(err)
			if werr := watched(); werr != nil {
				if failed { // by itself, and not because Watch found something
					return also(stageError(sp.st.name, err), werr)
				}
				return werr
			}
			if sp.stopped(err) || ln.broken == nil && ln.ctx.Err() == nil && guard.cutOff() {
				return sp.finish(out.end)
			}
			if ln.broken == nil && isClosed(err) {
				err = errors.Join(ErrPrematureClose, err)
			}
			return sp.fail(err)
		}
	}
	return newStream(n)
}

// ended is a source that has no values.
type ended[T any] struct{}

func (ended[T]) Read([]T) (int, error) { return 0, io.EOF }

// stopReader reads no more after Flow.Stop.
type stopReader[T any] struct {
	ln *lane
	r  Reader[T]
}

func (s *stopReader[T]) Read(dst []T) (int, error) {
	if s.ln.source.Err() != nil {
		return 0, context.Cause(s.ln.source)
	}
	return s.r.Read(dst)
}

type boundedStopReader[T any] struct {
	s  stopReader[T]
	br boundedReader[T]
}

func (b *boundedStopReader[T]) Read(dst []T) (int, error) { return b.s.Read(dst) }

func (b *boundedStopReader[T]) readUpTo(dst []T, most int64, size func(*T) int64) (int, error) {
	if source := b.s.ln.source; source.Err() != nil {
		return 0, context.Cause(source)
	}
	return b.br.readUpTo(dst, most, size)
}

func readDeadline(x any) func(time.Time) error {
	if d, ok := x.(interface{ SetReadDeadline(time.Time) error }); ok {
		return d.SetReadDeadline
	}
	return nil
}

func writeDeadline(x any) func(time.Time) error {
	if d, ok := x.(interface{ SetWriteDeadline(time.Time) error }); ok {
		return d.SetWriteDeadline
	}
	return nil
}

// ioGuard closes a reader or writer of a flow exactly once: when the flow ends,
// or before, to unblock a call that no deadline reaches.
type ioGuard struct {
	x      any
	outer  *outer
	stop   func()
	late   func(time.Time) error // sets the deadline, to clear one that was set
	closed bool
	err    error
}

// guardIO unblocks a Read or Write of x when the lane's context ends or, for a
// source, on Flow.Stop. It sets a deadline, or closes x if that is not
// possible. It does nothing while the lane is not inside such a call: the lane
// enters the state outside first, then checks its context, and only then calls.
func guardIO(sp *spot, x any, deadline func(any) func(time.Time) error) *ioGuard {
	g := &ioGuard{x: x, outer: &sp.st.outer}
	g.outer.of(x)
	ctx := sp.ln.ctx
	if sp.st.kind == report.KindSource {
		ctx = sp.ln.source
	}
	g.stop = interruptOn(ctx, func() {
		if sp.ln.At() != sp.outside() || sp.ln.Stopped() {
			return
		}
		if _, ok := x.(endsWithContext); ok {
			return
		}
		set := deadline(x)
		if set == nil || recovered(func() error { return set(time.Unix(1, 0)) }) != nil {
			g.close(context.Cause(ctx))
		} else if _, ok := x.(interface{ keptOpen() }); ok {
			g.late = set
		}
	})
	return g
}

// endsWithContext marks a reader or writer that returns from Read or Write when
// the context that it was opened with ends.
type endsWithContext interface{ endsWithContext() }

func (g *ioGuard) close(cause error) {
	if !g.closed {
		g.closed = true
		g.err = recovered(func() error { return closeWith(g.x, cause) })
		g.outer.settle()
	}
}

// cutOff reports whether x was closed to interrupt a call, which then returns an
// error that only x can make sense of. Afterwards nothing is interrupted any more.
func (g *ioGuard) cutOff() bool {
	if g == nil {
		return false
	}
	g.stop()
	return g.closed
}

// end closes x unless that has been done, and returns the result of Close.
func (g *ioGuard) end(cause error) error {
	g.stop()
	g.close(cause)
	if g.late != nil {
		g.late(time.Time{})
	}
	return g.err
}
