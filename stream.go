package weir

import (
	"context"
	"errors"
	"io"
	"iter"

	"github.com/weir-go/weir/internal/pipe"
)

// Reader is where values come from. A Reader[byte] is an [io.Reader], and the
// rules are the same: Read waits for at least one value, moves what is there
// into dst and returns how many; [io.EOF] ends it. It must not keep dst.
type Reader[T any] interface {
	Read(dst []T) (n int, err error)
}

// Writer is where values go. A Writer[byte] is an [io.Writer], and the rules
// are the same: Write takes all of batch or returns an error, and must neither
// change nor keep it.
type Writer[T any] interface {
	Write(batch []T) (n int, err error)
}

// Stream describes values of type T on their way: a source and the stages
// behind it. Nothing opens and nothing runs until the stream has met its sink
// ([Stream.To]) and the resulting [Flow] is run.
//
// A Stream is a small value and may be copied. Within one flow it can be used
// once; to use it twice, [Tee] it. It may be used in several flows if its
// source can be opened several times, as [File] can and [FromReader] cannot.
type Stream[T any] struct{ n *node[T] }

// node is one step of a stream. It is immutable once built.
type node[T any] struct {
	name string
	id   *int  // the same in renamed copies
	io   bool  // waits for the outside world: what follows gets a lane of its own
	work bool  // there is a stage in front
	err  error // a composition error
	size func(T) int

	// async asks for a pipe behind this step; limit is its limit.
	async bool
	limit Limit

	// build adds this step and everything before it to the lane, in front of
	// out.
	build func(n *node[T], b *plan, ln *lane, out link[T])

	// ready, if not nil, is used instead of build by a consumer that starts a
	// lane: the values wait in a pipe already.
	ready func(n *node[T], b *plan, ln *lane, to *stage) *pipe.Pipe[T]

	roots roots

	// origin is what the kernel could read from, for a bare source.
	origin *origin
}

func newStream[T any](n node[T]) Stream[T] {
	n.id = new(int)
	return Stream[T]{&n}
}

// Named gives the last step of the stream another name in reports and errors.
func (s Stream[T]) Named(name string) Stream[T] { return s.with(func(n *node[T]) { n.name = name }) }

// Async ends the lane behind the last step: what follows runs concurrently
// with it, behind a pipe of the given limit (the zero Limit is the flow's
// default).
func (s Stream[T]) Async(limit Limit) Stream[T] {
	return s.with(func(n *node[T]) {
		n.async, n.limit = true, limit
		if err := limit.check(); err != nil && n.err == nil {
			n.err = err
		}
	})
}

// Sized says how many bytes a value refers to beyond its own slot, so that limits
// in bytes hold for it. A lane calls f once for each value that it writes to a
// pipe, before it locks the pipe; stages that gather values call it too. Several
// lanes may call f at the same time. A panic in f ends the flow with a
// [PanicError]. Operators whose values have the same type keep f; [Merge] and
// [Concat] keep that of their first stream that has one. Most types need no Sized; see [Bytes] for those that weir cannot
// measure.
func (s Stream[T]) Sized(f func(T) int) Stream[T] {
	return s.with(func(n *node[T]) { n.size = f })
}

func (s Stream[T]) with(change func(*node[T])) Stream[T] {
	if s.n == nil {
		return s
	}
	n := *s.n
	change(&n)
	return Stream[T]{&n}
}

// Through passes the stream through stages that keep its type, in order.
func (s Stream[T]) Through(stages ...Stage[T, T]) Stream[T] {
	for _, st := range stages {
		s = Via(s, st)
	}
	return s
}

// link is where a step hands its output on: the next stage in the lane, or the
// pipe at the lane's end.
type link[T any] struct {
	push  func(batch []T) error
	end   func() error // the clean end; not called after a failure
	to    *stage
	fused bool          // push runs another stage: set the clock back afterwards
	pipe  *pipe.Pipe[T] // if the link is a pipe, to be filled in place

	size func(*T) int64 // how the values are measured; nil: they need not be, or cannot
	most int            // how many values to hand on at once, because the pipe at the lane's end holds no more; 0: any number
}

// attach builds the stream in front of a consumer that sits at the head of ln.
// alone says that the consumer wants a lane of its own.
func (s Stream[T]) attach(b *plan, ln *lane, out link[T], alone bool) {
	n := s.check(b, out.to)
	if n == nil {
		return
	}
	if alone || n.async || n.io {
		p := s.pipe(b, ln, out.to)
		ln.main = func() error { return drain(ln, p, out) }
		return
	}
	n.build(n, b, ln, out)
}

// pipe builds the stream in a lane of its own and returns the pipe in which
// its values arrive; ln is the lane that will read it.
func (s Stream[T]) pipe(b *plan, ln *lane, to *stage) *pipe.Pipe[T] {
	n := s.n
	if n.ready != nil && !n.async {
		return n.ready(n, b, ln, to)
	}
	p := newEdge(b, n.limit, n.size, n.name, to.name)
	up := b.newLane()
	up.outs = append(up.outs, p)
	ln.ins = append(ln.ins, p)
	p.OnHangup(up.leave)
	n.build(n, b, up, pipeLink(p, up, to))
	return p
}

// check reports composition errors once and returns the node, or nil if it
// cannot be built.
func (s Stream[T]) check(b *plan, to *stage) *node[T] {
	if s.n == nil {
		b.fail(to.name, errors.New("input is the zero Stream; start from a source such as File or FromReader"))
		return nil
	}
	if s.n.err != nil {
		b.fail(s.n.name, s.n.err)
		return nil
	}
	if b.used[s.n.id] {
		b.fail(s.n.name, errors.New("output used twice in one flow; use Tee, or make the source twice"))
		return nil
	}
	b.used[s.n.id] = true
	return s.n
}

// pipeLink makes the pipe p the end of lane ln.
func pipeLink[T any](p *pipe.Pipe[T], ln *lane, to *stage) link[T] {
	return link[T]{
		push: func(batch []T) error {
			_, err := p.Write(ln.ctx, &ln.Clock, batch)
			return err
		},
		end: func() error {
			p.CloseWrite(nil)
			return nil
		},
		to:   to,
		pipe: p,
		most: few(p),
	}
}

// few is how many values the pipe p holds if that is less than stages hand on at
// once, so that they do not work on many values ahead of a pipe that is to hold
// few. 0: it holds enough.
func few[T any](p *pipe.Pipe[T]) int {
	if isByte[T]() || p.Cap() >= chunkLen[T]() {
		return 0
	}
	return max(1, p.Cap())
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

// All runs the stream and returns its values one after the other. The error,
// if any, comes in a last pair, behind the values that came before it. A break
// ends the source, and what follows the loop runs only after everything is
// closed. The rest of the flow runs concurrently with the loop, behind a pipe.
func (s Stream[T]) All(ctx context.Context) iter.Seq2[T, error] {
	return func(yield func(T, error) bool) {
		o := open(ctx, s)
		defer o.stop()
		for {
			batch, err := o.r.Acquire(o.ctx)
			if err != nil {
				if err := o.end(err); err != nil {
					var none T
					yield(none, err)
				}
				return
			}
			for _, v := range batch {
				if !yield(v, nil) {
					return
				}
			}
			o.r.Release(len(batch))
		}
	}
}

// Chan runs the stream in the background and returns a channel of its values,
// which is closed at the end, and a function that waits for the end and returns
// the flow's error. A consumer that stops receiving early must cancel ctx.
func (s Stream[T]) Chan(ctx context.Context) (<-chan T, func() error) {
	ch := make(chan T)
	done := make(chan struct{})
	var err error
	go func() {
		defer close(done)
		defer close(ch)
		f := s.To(ToChan(ch))
		err = f.Run(ctx)
	}()
	return ch, func() error {
		<-done
		return err
	}
}

// To ends the stream in a sink.
func (s Stream[T]) To(k Sink[T]) *Flow {
	f := &Flow{build: func(b *plan) { buildSink(b, s, k) }, given: s.roots().given}
	if k.given != nil {
		f.given = append(f.given[:len(f.given):len(f.given)], k.given)
	}
	return f
}

// roots is what lies at the beginning of a stream.
type roots struct {
	tees  []any // Tees upstream: their branches have to run together
	given []*given
}

func (r roots) and(o roots) roots {
	return roots{append(r.tees[:len(r.tees):len(r.tees)], o.tees...), append(r.given[:len(r.given):len(r.given)], o.given...)}
}

func (s Stream[T]) roots() roots {
	if s.n == nil {
		return roots{}
	}
	return s.n.roots
}

// allRoots returns the roots of all of the streams.
func allRoots[T any](streams []Stream[T]) (r roots) {
	for _, s := range streams {
		r = r.and(s.roots())
	}
	return r
}
