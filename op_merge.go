package weir

import (
	"context"
	"errors"
	"slices"
	"sync/atomic"

	"github.com/weir-go/weir/internal/pipe"
	"github.com/weir-go/weir/report"
)

// Merge passes on the values of several streams as they come. The streams run
// concurrently and share one pipe, in which they get their turns in the order
// they asked for them. The first failure ends all. Streams of bytes cannot be
// merged; cut them into lines first, with package text.
func Merge[T any](streams ...Stream[T]) Stream[T] {
	n := node[T]{name: "merge", roots: allRoots(streams), size: sizedAsOneOf(streams)}
	switch {
	case len(streams) == 0:
		n.err = errors.New("no streams to merge")
	case isByte[T]():
		n.err = errors.New("merging would mix the bytes of several streams; split them into lines first")
	}
	n.ready = func(n *node[T], b *plan, ln *lane, to *stage) *pipe.Pipe[T] {
		p := newEdge(b, n.limit, n.size, n.name, to.name)
		ln.owner = to
		g := newGather(p.Gate(), ln)
		for _, s := range streams {
			up := b.newLane()
			s.n.attach(b, up, gatherLink(g, p, up, to), false)
		}
		return p
	}
	n.build = n.buildReady
	return newStream(n)
}

// Concat passes on the values of the first stream, then the values of the second,
// and so on. Each stream is opened only when its turn comes, and is closed
// before the next one opens, so that a thousand files need one descriptor.
// Branches of a [Tee] are the exception: they run from the beginning.
//
// Each stream runs as a separate flow. The report shows Concat as one source; its
// time outside is the time for which it waited for those flows. So the report does
// not name a slow stage inside them. Put stages that all streams have in common
// after Concat to see them.
func Concat[T any](streams ...Stream[T]) Stream[T] {
	n := node[T]{name: "concat", roots: allRoots(streams), size: sizedAsOneOf(streams)}
	n.build = func(n *node[T], b *plan, ln *lane, out link[T]) { buildConcat(n, b, ln, out, streams) }
	return newStream(n)
}

func buildConcat[T any](n *node[T], b *plan, ln *lane, out link[T], streams []Stream[T]) {
	sg := addStage[T, T](b, n.name, report.KindSource, out.to)
	sp := ln.place(sg)
	w := &laneWriter[T]{sp, out}
	parts := make([]func() error, len(streams))
	b.open(sp, func() (func(error) error, error) {
		// A part whose turn does not come is closed with the lane, so that an
		// error still reaches the sink.
		return func(cause error) error {
			var err error
			for _, g := range allRoots(streams).given {
				err = also(err, g.closeUnopened(cause))
			}
			return err
		}, nil
	})
	for i, s := range streams {
		if len(rootsOf(s).tees) > 0 {
			if !s.n.check(b, sg) {
				return
			}
			p := s.n.pipe(b, ln, sg)
			parts[i] = func() error {
				return drain(ln, p, link[T]{
					push: func(batch []T) error {
						ln.Enter(sp.busy)
						_, err := w.Write(batch)
						return err
					},
					end:   func() error { return nil },
					fused: true,
				})
			}
			continue
		}
		// The stream runs as a separate flow while the lane waits: the two never run
		// at the same time.
		f := s.To(EachBatch(func(_ context.Context, batch []T) error {
			ln.Enter(sp.busy)
			_, err := w.Write(batch)
			ln.Enter(sp.outside())
			return err
		}))
		f.Limit, f.MaxValue = b.limit, b.maxValue
		inner, err := f.assemble()
		if err != nil {
			b.errs = append(b.errs, err)
			return
		}
		for _, h := range inner.halves {
			b.halves = append(b.halves, half{h.given, ln})
		}
		held := inner.ceiling()
		sg.holds = max(sg.holds, held.Bytes)
		sg.beyond.values = max(sg.beyond.values, held.Holders) // with a MaxValue they are among the bytes
		for _, why := range held.Uncovered {
			if !slices.Contains(sg.uncovered, why) {
				sg.uncovered = append(sg.uncovered, why)
			}
		}
		parts[i] = func() error {
			ln.Enter(sp.outside())
			return f.run(ln.ctx, ln)
		}
	}
	ln.main = func() error {
		for _, part := range parts {
			if ln.source.Err() != nil {
				break // Flow.Stop was called
			}
			err := part()
			ln.Enter(sp.busy)
			if err := sp.fail(err); err != nil {
				return err
			}
		}
		return sp.finish(out.end)
	}
}

// Pair is one value of each of two streams.
type Pair[A, B any] struct {
	First  A
	Second B
}

// Zip passes on pairs: the first values of both streams, then the second ones,
// and so on. When the shorter stream ends, Zip ends the other one too. A failure
// of one stream ends the other one at once, wherever it is, so the last values of
// the stream that failed may find no partner.
func Zip[A, B any](first Stream[A], second Stream[B]) Stream[Pair[A, B]] {
	n := node[Pair[A, B]]{name: "zip", work: true, size: pairSize(first, second)}
	n.roots = rootsOf(first).and(rootsOf(second))
	n.build = func(n *node[Pair[A, B]], b *plan, ln *lane, out link[Pair[A, B]]) {
		sg := addStage[A, Pair[A, B]](b, n.name, report.KindStage, out.to)
		sg.holds = int64(chunkLen[Pair[A, B]]()) * slotSize[Pair[A, B]]()
		sp := ln.place(sg)
		out = linkFrom(out, sp, makes(b, sg, n.size, 0))
		if !first.n.check(b, sg) || !second.n.check(b, sg) {
			return
		}
		// The stream that is not at its end yet is ended first.
		end := func() error { return sp.enoughFrom(out.end) }
		as, bs := first.n.pipe(b, ln, sg), second.n.pipe(b, ln, sg)
		ln.main = func() error {
			ln.Enter(sp.busy)
			w := &laneWriter[Pair[A, B]]{sp, out}
			pairs := make([]Pair[A, B], chunkLen[Pair[A, B]]())
			for {
				va, err := as.Acquire(ln.ctx, &ln.Clock)
				if err != nil {
					return ending(ln, err, end)
				}
				vb, err := bs.Acquire(ln.ctx, &ln.Clock)
				if err != nil {
					return ending(ln, err, end)
				}
				n := min(len(va), len(vb), len(pairs))
				for i := range n {
					pairs[i] = Pair[A, B]{va[i], vb[i]}
				}
				sg.in.Add(int64(n))
				_, err = w.Write(pairs[:n])
				clear(pairs[:n])
				// Until now the values were charged where they came from.
				as.Release(n)
				bs.Release(n)
				if err != nil {
					return err
				}
			}
		}
	}
	return newStream(n)
}

// pairSize returns the size of a pair, if the user has said how large a value of
// one of the streams is.
func pairSize[A, B any](first Stream[A], second Stream[B]) func(Pair[A, B]) int {
	a, b := sizedAs[A](first), sizedAs[B](second)
	if a == nil && b == nil {
		return nil
	}
	if a == nil {
		a = naturalSize[A]()
	}
	if b == nil {
		b = naturalSize[B]()
	}
	return func(p Pair[A, B]) (n int) {
		if a != nil {
			n += a(p.First)
		}
		if b != nil {
			n += b(p.Second)
		}
		return n
	}
}

// gather lets several lanes write to one pipe, which ends when the last of them
// has. Lanes that wait for room get it in the order they asked for it, and only
// so many batches go ahead of them, so no lane can keep the others out.
type gather struct {
	gate  *pipe.Gate
	left  atomic.Int32
	first atomic.Pointer[error] // the error of the first lane that failed
	lanes []*lane
}

// newGather makes the pipe of gate the input of lane ln.
func newGather(gate *pipe.Gate, ln *lane) *gather {
	g := &gather{gate: gate}
	ln.ins = append(ln.ins, gate)
	gate.OnHangup(func(cause error) {
		for _, l := range g.lanes {
			l.leave(cause)
		}
	})
	return g
}

// gatherLink makes p, the pipe of g, the output of another lane and returns the
// writer for it.
func gatherLink[T any](g *gather, p *pipe.Pipe[T], ln *lane, to *stage) link[T] {
	out := pipeLink(p, ln, to)
	out.end = g.lane(ln)
	return out
}

// lane makes the pipe the output of another lane. end ends it.
func (g *gather) lane(ln *lane) (end func() error) {
	g.left.Add(1)
	g.lanes = append(g.lanes, ln)
	e := &gatherEnd{g: g}
	ln.outs = append(ln.outs, e)
	return func() error {
		e.done()
		return nil
	}
}

// gatherEnd is one lane's end of the pipe.
type gatherEnd struct {
	g     *gather
	ended bool
}

func (e *gatherEnd) done() {
	if !e.ended {
		e.ended = true
		if e.g.left.Add(-1) == 0 {
			var cause error
			if first := e.g.first.Load(); first != nil {
				cause = *first
			}
			e.g.gate.CloseWrite(cause)
		}
	}
}

func (e *gatherEnd) shared() lanesEnd { return e.g.gate }

// CloseRead implements lanesEnd.
func (e *gatherEnd) CloseRead(cause error) { e.g.gate.CloseRead(cause) }

// CloseWrite ends the pipe with the first error only when the last lane has ended:
// the others may still have values that came before it.
func (e *gatherEnd) CloseWrite(cause error) {
	if cause != ErrStop {
		e.g.first.CompareAndSwap(nil, &cause)
	}
	e.done()
}
