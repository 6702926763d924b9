package weir

import "sync/atomic"

// gather lets several lanes write to one pipe, which ends when the last of them
// has. Lanes that wait for room get it in the order they asked for it, and only
// so many batches go ahead of them, so no lane can keep the others out.
type gather[T any] struct {
	p     *pipe[T]
	left  atomic.Int32
	first atomic.Pointer[error] // what the first lane to fail ended with
	lanes []*lane
}

// newGather makes the pipe p the input of lane ln.
func newGather[T any](p *pipe[T], ln *lane) *gather[T] {
	g := &gather[T]{p: p}
	ln.ins = append(ln.ins, p)
	p.onHangup = func(cause error) {
		for _, l := range g.lanes {
			l.leave(cause)
		}
	}
	return g
}

// lane makes the pipe the output of another lane and returns what to write to.
func (g *gather[T]) lane(ln *lane, to *stage) link[T] {
	g.left.Add(1)
	g.lanes = append(g.lanes, ln)
	e := &gatherEnd[T]{g: g}
	ln.outs = append(ln.outs, e)
	out := g.p.link(ln, to)
	out.end = func() error {
		e.done()
		return nil
	}
	return out
}

// gatherEnd is one lane's end of the pipe.
type gatherEnd[T any] struct {
	g     *gather[T]
	ended bool
}

func (e *gatherEnd[T]) done() {
	if !e.ended {
		e.ended = true
		if e.g.left.Add(-1) == 0 {
			var cause error
			if first := e.g.first.Load(); first != nil {
				cause = *first
			}
			e.g.p.closeWrite(cause)
		}
	}
}

func (e *gatherEnd[T]) shared() lanesEnd { return e.g.p }

func (e *gatherEnd[T]) hangup(cause error) { e.g.p.closeRead(cause) }

// finish ends the pipe with the first error only when the last lane has ended:
// the others may still have values that came before it.
func (e *gatherEnd[T]) finish(err error) {
	if err != nil {
		e.g.first.CompareAndSwap(nil, &err)
	}
	e.done()
}
