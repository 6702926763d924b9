package weir

import (
	"context"
	"slices"

	"github.com/weir-go/weir/report"
)

// Concat passes on the values of the first stream, then those of the second,
// and so on. Each stream is opened only when its turn comes, and is closed
// before the next one opens, so that a thousand files need one descriptor.
// Branches of a [Tee] are the exception: they run from the beginning.
//
// Each stream runs as a flow of its own. The report of the whole shows Concat
// as one source, whose time outside is the time it waited for that flow, so a
// slow stage in front of it is not named; put what is common to all streams
// behind Concat to see it.
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
		if len(s.roots().tees) > 0 {
			if s.check(b, sg) == nil {
				return
			}
			p := s.pipe(b, ln, sg)
			parts[i] = func() error {
				return drain(ln, p, link[T]{
					push: func(batch []T) error {
						ln.enter(sp.busy)
						_, err := w.Write(batch)
						return err
					},
					end:   func() error { return nil },
					fused: true,
				})
			}
			continue
		}
		// A flow of its own, while the lane waits: the two never run at the
		// same time.
		f := s.To(EachBatch(func(_ context.Context, batch []T) error {
			ln.enter(sp.busy)
			_, err := w.Write(batch)
			ln.enter(sp.outside())
			return err
		}))
		f.Limit, f.MaxValue = b.limit, b.maxValue
		inner, err := f.assemble()
		if err != nil {
			b.errs = append(b.errs, err)
			return
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
			ln.enter(sp.outside())
			return f.runUntil(ln.ctx, ln.source)
		}
	}
	ln.main = func() error {
		for _, part := range parts {
			if ln.source.Err() != nil {
				break // told to take no more input
			}
			err := part()
			ln.enter(sp.busy)
			if err := sp.fail(err); err != nil {
				return err
			}
		}
		return sp.finish(out.end)
	}
}
