package weir

import (
	"context"
	"errors"
	"fmt"
	"io"

	"github.com/weir-go/weir/internal/pipe"
	"github.com/weir-go/weir/internal/units"
)

// node is one step of a stream. It is immutable once built.
type node[T any] struct {
	name string
	id   *int  // identity; renamed copies share it
	io   bool  // waits for the outside world: the next steps get a separate lane
	work bool  // there is a stage before it
	err  error // a composition error
	size func(T) int

	// async asks for a pipe behind this step; limit is its limit.
	async bool
	limit Limit

	// build adds this step and everything before it to the lane, in front of
	// out.
	build func(n *node[T], b *plan, ln *lane, out link[T])

	// ready, if not nil, replaces build if the consumer starts a lane: the values
	// wait in a pipe already.
	ready func(n *node[T], b *plan, ln *lane, to *stage) *pipe.Pipe[T]

	roots roots

	// origin is the file or connection that the kernel can read from, if the node
	// is a source without stages.
	origin *origin
}

// link is the destination of a step's output: the next stage in the lane, or
// the pipe at the lane's end.
type link[T any] struct {
	push  func(batch []T) error
	end   func() error // the clean end; not called after a failure
	to    *stage
	fused bool          // push runs another stage: set the clock back afterwards
	pipe  *pipe.Pipe[T] // if the link is a pipe, to be filled in place

	size func(*T) int64 // how the values are measured; nil: they need not be, or cannot
	most int            // how many values to pass on at once, because the pipe at the lane's end holds no more; 0: any number
}

// linkFrom returns the link out for the stage of sp, which makes values measured by
// size. It refuses those that are larger than the flow allows.
func linkFrom[T any](out link[T], sp *spot, size func(*T) int64) link[T] {
	out.size = size
	most := sp.st.beyond.most
	if size == nil || most == 0 {
		return out
	}
	push := out.push
	out.push = func(batch []T) error {
		for i := range batch {
			err := tooLarge(size, &batch[i], most)
			if err == nil {
				continue
			}
			if i > 0 {
				if err := push(batch[:i]); err != nil {
					return err
				}
			}
			return sp.fail(err)
		}
		return push(batch)
	}
	return out
}

// tooLarge returns the error for a value that is larger than most, or nil.
func tooLarge[T any](size func(*T) int64, v *T, most int64) error {
	if n := size(v); n > most {
		return fmt.Errorf("%w: a value of %s; the flow's MaxValue is %s", ErrLimit, units.Exact(n), units.Exact(most))
	}
	return nil
}

// attach builds the step, and all steps before it, in front of a consumer at
// the head of ln. alone says that the consumer needs a separate lane.
func (n *node[T]) attach(b *plan, ln *lane, out link[T], alone bool) {
	if !n.check(b, out.to) {
		return
	}
	if alone || n.async || n.io {
		p := n.pipe(b, ln, out.to)
		ln.main = func() error { return drain(ln, p, out) }
		return
	}
	n.build(n, b, ln, out)
}

// pipe builds the step, and all steps before it, in a new lane. It returns the
// pipe for the output, which ln will read.
func (n *node[T]) pipe(b *plan, ln *lane, to *stage) *pipe.Pipe[T] {
	if n.ready != nil && !n.async {
		return n.ready(n, b, ln, to)
	}
	p := newEdge(b, n.limit, n.size, n.name, to.name)
	up := b.newLane()
	up.outs = append(up.outs, p.Gate())
	ln.ins = append(ln.ins, p.Gate())
	p.Gate().OnHangup(up.leave)
	n.build(n, b, up, pipeLink(p, up, to))
	return p
}

// check records a composition error, and reports whether the step can be built.
// The node of the zero Stream is nil.
func (n *node[T]) check(b *plan, to *stage) bool {
	if n == nil {
		return b.use(nil, to.name, errors.New("input is the zero Stream; start from a source such as File or FromReader"))
	}
	return b.use(n.id, n.name, n.err)
}

// pipeLink makes the pipe p the end of lane ln.
func pipeLink[T any](p *pipe.Pipe[T], ln *lane, to *stage) link[T] {
	return link[T]{
		push: func(batch []T) error {
			_, err := p.Write(ln.ctx, &ln.Clock, batch)
			return err
		},
		end: func() error {
			p.Gate().CloseWrite(nil)
			return nil
		},
		to:   to,
		pipe: p,
		most: few(p),
	}
}

// few returns how many values the pipe p can hold, if that is less than stages
// pass on at once. Stages then do not work on many values ahead of a small
// pipe. 0 means that the pipe holds enough.
func few[T any](p *pipe.Pipe[T]) int {
	if isByte[T]() || p.Gate().Cap() >= chunkLen[T]() {
		return 0
	}
	return max(1, p.Gate().Cap())
}

// drain is the main of a lane that begins at a pipe.
func drain[T any](ln *lane, p *pipe.Pipe[T], out link[T]) error {
	for {
		batch, err := p.Acquire(ln.ctx, &ln.Clock)
		if err != nil {
			return ending(ln, err, out.end)
		}
		err = out.push(batch)
		if out.fused {
			ln.Back(ln.Starved())
		}
		if rerr := p.Release(len(batch)); err == nil {
			err = rerr
		}
		if err != nil {
			return err
		}
	}
}

// ending handles the error that a read from a pipe ended with. ErrClosed means
// that another reader of the same pipe has closed it: nothing is left.
func ending(ln *lane, err error, end func() error) error {
	if err == io.EOF || err == ErrClosed {
		if err := ln.ended(); err != nil {
			return err
		}
		return end()
	}
	if cause := context.Cause(ln.ctx); cause != nil {
		return cause
	}
	return err
}

// roots describes the sources at the beginning of a stream.
type roots struct {
	tees  []any // Tees upstream: their branches have to run together
	given []*given
}

func (r roots) and(o roots) roots {
	return roots{append(r.tees[:len(r.tees):len(r.tees)], o.tees...), append(r.given[:len(r.given):len(r.given)], o.given...)}
}

// origin is a source the kernel may copy from by itself.
type origin struct {
	like io.Reader // a reader of the type that Open returns
	open func(ctx context.Context) (any, error)
}

// buildReady is the build of a node whose values wait in a pipe.
func (*node[T]) buildReady(n *node[T], b *plan, ln *lane, out link[T]) {
	p := n.ready(n, b, ln, out.to)
	ln.main = func() error { return drain(ln, p, out) }
}
