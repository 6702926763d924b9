package weir

import "github.com/weir-go/weir/report"

// Pair is one value of each of two streams.
type Pair[A, B any] struct {
	First  A
	Second B
}

// Zip passes on pairs: the first values of both streams, then the second ones,
// and so on. It ends with the shorter stream, and ends the other.
func Zip[A, B any](first Stream[A], second Stream[B]) Stream[Pair[A, B]] {
	n := node[Pair[A, B]]{name: "zip", work: true, size: pairSize(first, second)}
	n.roots = first.roots().and(second.roots())
	n.build = func(n *node[Pair[A, B]], b *plan, ln *lane, out link[Pair[A, B]]) {
		sg := addStage[A, Pair[A, B]](b, n.name, report.KindStage, out.to)
		sg.holds = int64(chunkLen[Pair[A, B]]()) * slotSize[Pair[A, B]]()
		sp := ln.place(sg)
		out = out.from(sp, makes(b, sg, n.size, 0))
		if first.check(b, sg) == nil || second.check(b, sg) == nil {
			return
		}
		// The stream that is not at its end yet is ended first.
		end := func() error { return sp.enoughFrom(out.end) }
		as, bs := first.pipe(b, ln, sg), second.pipe(b, ln, sg)
		ln.main = func() error {
			ln.enter(sp.busy)
			w := &laneWriter[Pair[A, B]]{sp, out}
			pairs := make([]Pair[A, B], chunkLen[Pair[A, B]]())
			for {
				va, err := as.acquire(ln.ctx, ln)
				if err != nil {
					return ending(ln, err, end)
				}
				vb, err := bs.acquire(ln.ctx, ln)
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
				as.release(n)
				bs.release(n)
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
