package weir

// Pair is one value of each of two streams.
type Pair[A, B any] struct {
	First  A
	Second B
}

// Zip passes on pairs: the first values of both streams, then the second ones,
// and so on. It ends with the shorter stream, and ends the other.
func Zip[A, B any](first Stream[A], second Stream[B]) Stream[Pair[A, B]] {
	n := node[Pair[A, B]]{name: "zip", work: true}
	n.roots = first.roots().and(second.roots())
	n.build = func(n *node[Pair[A, B]], b *plan, ln *lane, out link[Pair[A, B]]) {
		sg := addStage[A, Pair[A, B]](b, n.name, KindStage, out.to)
		sg.holds = int64(chunkLen[Pair[A, B]]()) * slotSize[Pair[A, B]]()
		sp := ln.place(sg)
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
				as.release(n)
				bs.release(n)
				sg.in.Add(int64(n))
				_, err = w.Write(pairs[:n])
				clear(pairs[:n])
				if err != nil {
					return err
				}
			}
		}
	}
	return newStream(n)
}
