package nats

import (
	"context"
	"sync"
	"sync/atomic"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/weir-go/weir/report"
)

// observeEvery is how often a running end asks how full its edge is.
const observeEvery = time.Second

// frameOverhead is about how many bytes the server stores in addition to each frame.
const frameOverhead = 400

// waits knows what a running end of an edge waits for. Its methods can be called
// concurrently.
type waits struct {
	edge Edge

	peer, server atomic.Int64 // nanoseconds for which it waited for either
	now          atomic.Int32 // what it waits for at the moment: waitsPeer, waitsServer, or 0
	refusals     atomic.Int64
	seen         atomic.Pointer[report.Edge] // nil: nothing is known yet

	observer sync.WaitGroup
}

func newWaits(e Edge) *waits { return &waits{edge: e} }

const (
	waitsPeer = 1 + iota
	waitsServer
)

// Peer names what the end waits for or, if it does not wait at the moment, what it has
// waited for most.
func (w *waits) Peer() string {
	if w == nil {
		return ""
	}
	switch now := w.now.Load(); {
	case now == waitsServer, now == 0 && w.server.Load() > w.peer.Load():
		return w.edge.server()
	}
	return w.edge.peer()
}

// waiting counts the time until the function that it returns is called as time
// for which the end waits for the other one, or for the server.
func (w *waits) waiting(peer bool) func() {
	begin := time.Now()
	to, now := &w.server, int32(waitsServer)
	if peer {
		to, now = &w.peer, waitsPeer
	}
	w.now.Store(now)
	return func() {
		w.now.Store(0)
		to.Add(int64(time.Since(begin)))
	}
}

// Edge returns what is known about the edge.
func (w *waits) Edge() report.Edge {
	if w == nil || w.seen.Load() == nil {
		return report.Edge{}
	}
	e := *w.seen.Load()
	e.Refused = w.refusals.Load()
	return e
}

// observe asks how full the edge is, until the link is closed.
func (w *waits) observe(l *link, st jetstream.Stream) {
	w.observer.Go(func() {
		t := time.NewTicker(observeEvery)
		defer t.Stop()
		for {
			ctx, cancel := context.WithTimeout(l.ctx, connectTime)
			info, err := st.Info(ctx)
			cancel()
			if err == nil {
				s := info.State
				e := report.Edge{Name: w.edge.Name, Held: int64(s.Bytes), Max: info.Config.MaxBytes}
				if s.Msgs > 1 { // the last frame stays when all has been freed
					e.Lag = max(0, e.Held-int64(s.Msgs)*frameOverhead)
				}
				w.seen.Store(&e)
			}
			select {
			case <-t.C:
			case <-l.ctx.Done():
				return
			}
		}
	})
}

// settle waits until nothing observes the edge any more.
func (w *waits) settle() { w.observer.Wait() }
