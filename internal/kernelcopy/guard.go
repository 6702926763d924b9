package kernelcopy

import (
	"context"
	"io"
	"os"
	"sync"
	"sync/atomic"
	"time"
)

// A guard unblocks a transfer when its context ends.
type guard struct {
	t       *transfer
	inside  atomic.Int32 // reading, writing or both
	stop    func() bool
	fired   chan struct{} // closed when unblock is done
	forced  bool          // unblock closed an end; read after release
	release func() bool   // ends the guard; reports whether it had to act
}

const (
	reading = 1 << iota
	writing
)

func (t *transfer) watch() *guard {
	g := &guard{t: t, fired: make(chan struct{})}
	g.stop = context.AfterFunc(t.ctx, g.unblock)
	g.release = sync.OnceValue(g.end)
	return g
}

// enter is called before a call that may block. It reports whether the
// context has ended, in which case the call must not be made. A context that
// ends later finds out from inside what to unblock.
func (g *guard) enter(what int32) bool {
	g.inside.Store(what)
	return g.t.ctx.Err() != nil
}

func (g *guard) leave() { g.inside.Store(0) }

type readDeadliner interface{ SetReadDeadline(time.Time) error }
type writeDeadliner interface{ SetWriteDeadline(time.Time) error }

// longAgo is a deadline that has passed.
var longAgo = time.Unix(1, 0)

func (g *guard) unblock() {
	defer close(g.fired)
	inside := g.inside.Load()
	if d, ok := g.t.src.(readDeadliner); !ok || d.SetReadDeadline(longAgo) != nil {
		if inside&reading != 0 {
			g.close(g.t.src)
		}
	}
	if d, ok := g.t.dst.(writeDeadliner); !ok || d.SetWriteDeadline(longAgo) != nil {
		if inside&writing != 0 {
			g.close(g.t.dst)
		}
	}
}

// close unblocks by force. Regular files are spared: they do not block for
// long, and their owner has yet to decide what becomes of them.
func (g *guard) close(end any) {
	if f, ok := end.(*os.File); ok {
		if info, err := f.Stat(); err != nil || info.Mode().IsRegular() {
			return
		}
	}
	if c, ok := end.(io.Closer); ok && !g.t.KeepOpen {
		g.forced = true
		c.Close()
	}
}

func (g *guard) end() bool {
	if g.stop() {
		return false
	}
	<-g.fired
	if d, ok := g.t.src.(readDeadliner); ok {
		d.SetReadDeadline(time.Time{})
	}
	if d, ok := g.t.dst.(writeDeadliner); ok {
		d.SetWriteDeadline(time.Time{})
	}
	return true
}
