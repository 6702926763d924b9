package weir

import (
	"errors"
)

// Merge passes on the values of several streams as they come. The streams run
// concurrently and share one pipe, in which they get their turns in the order
// they asked for them. The first failure ends all. Streams of bytes cannot be
// merged; cut them into [Lines] first.
func Merge[T any](streams ...Stream[T]) Stream[T] {
	n := node[T]{name: "merge", roots: allRoots(streams), size: sizedAsOneOf(streams)}
	switch {
	case len(streams) == 0:
		n.err = errors.New("there is nothing to merge")
	case isByte[T]():
		n.err = errors.New("bytes of several streams would be mixed up: cut them into Lines first")
	}
	n.ready = func(n *node[T], b *plan, ln *lane, to *stage) *pipe[T] {
		p := newEdge(b, n.limit, n.size, n.name, to.name)
		ln.owner = to
		g := newGather(p, ln)
		for _, s := range streams {
			up := b.newLane()
			s.attach(b, up, g.lane(up, to), false)
		}
		return p
	}
	n.build = n.buildReady
	return newStream(n)
}

// buildReady is the build of a node whose values wait in a pipe.
func (*node[T]) buildReady(n *node[T], b *plan, ln *lane, out link[T]) {
	p := n.ready(n, b, ln, out.to)
	ln.main = func() error { return drain(ln, p, out) }
}
