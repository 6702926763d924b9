package kernelcopy

import (
	"io"
	"os"
	"sync/atomic"
	"time"
)

// A guard unblocks a transfer when its context or Options.Stop ends.
type guard struct {
	t        *transfer
	inside   atomic.Int32 // reading, writing, both, or waiting
	stopping atomic.Bool  // take nothing more from the source
	halt     func() bool
	fired    chan struct{} // closed when unblock is done
	quit     chan struct{} // closed to end the goroutine that waits for Stop
	quitted  chan struct{} // closed when it has ended
	forced   atomic.Bool   // an end was closed to unblock it
	release  func() bool   // ends the guard; reports whether the context has ended
}

const (
	reading = 1 << iota
	writing
	waiting // for the destination, with nothing taken from the source
)

// enter is called before a call that can block. It returns true if the context
// has ended, or if the transfer must take no more from the source; the caller
// must then skip the call. If either happens later, inside tells the guard
// which call to unblock.
func (g *guard) enter(what int32) bool {
	g.inside.Store(what)
	if g.t.ctx.Err() != nil {
		return true
	}
	return what != writing && g.told()
}

func (g *guard) leave() { g.inside.Store(0) }

// told reports whether the transfer must take no more from the source.
func (g *guard) told() bool {
	if g.stopping.Load() {
		return true
	}
	select {
	case <-g.t.Stop:
		g.stopping.Store(true)
		return true
	default: // also if there is no such channel
		return false
	}
}

// over reports whether the context has ended or no more is to be taken.
func (g *guard) over() bool { return g.t.ctx.Err() != nil || g.told() }

type readDeadliner interface{ SetReadDeadline(time.Time) error }
type writeDeadliner interface{ SetWriteDeadline(time.Time) error }

// longAgo is a deadline that has passed.
var longAgo = time.Unix(1, 0)

func (g *guard) awaitStop() {
	defer close(g.quitted)
	select {
	case <-g.quit:
	case <-g.t.Stop:
		g.stopping.Store(true)
		inside := g.inside.Load()
		g.unblockRead(inside)
		if inside == waiting {
			g.unblockWrite(inside)
		}
	}
}

func (g *guard) unblock() {
	defer close(g.fired)
	inside := g.inside.Load()
	g.unblockRead(inside)
	g.unblockWrite(inside)
}

func (g *guard) unblockRead(inside int32) {
	if d, ok := g.t.src.(readDeadliner); !ok || d.SetReadDeadline(longAgo) != nil {
		if inside&reading != 0 {
			g.close(g.t.src)
		}
	}
}

func (g *guard) unblockWrite(inside int32) {
	if d, ok := g.t.dst.(writeDeadliner); !ok || d.SetWriteDeadline(longAgo) != nil {
		if inside&(writing|waiting) != 0 {
			g.close(g.t.dst)
		}
	}
}

// close unblocks by force. Regular files are spared: they do not block for
// long, and their owner has yet to decide whether to keep them. Pipes that were
// opened to block are looked at from time to time instead.
func (g *guard) close(end any) {
	if f, ok := end.(*os.File); ok {
		if info, err := f.Stat(); err != nil || info.Mode().IsRegular() {
			return
		}
		if g.inside.Load()&(reading|waiting) != 0 && blocksReading(f) {
			return
		}
	}
	if c, ok := end.(io.Closer); ok && !g.t.KeepOpen {
		g.forced.Store(true)
		c.Close()
	}
}

func (g *guard) end() bool {
	over := !g.halt()
	if over {
		<-g.fired
	}
	if g.quit != nil {
		close(g.quit)
		<-g.quitted
	}
	if over || g.stopping.Load() {
		if d, ok := g.t.src.(readDeadliner); ok {
			d.SetReadDeadline(time.Time{})
		}
		if d, ok := g.t.dst.(writeDeadliner); ok {
			d.SetWriteDeadline(time.Time{})
		}
	}
	return over
}
