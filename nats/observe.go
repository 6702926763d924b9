package nats

import (
	"context"
	"sync"
	"sync/atomic"
	"time"

	"github.com/nats-io/nats.go/jetstream"
)

// observeEvery is how often a running end asks how full its edge is.
const observeEvery = time.Second

// waits knows what a running end of an edge waits for. Its methods can be called
// concurrently.
type waits struct {
	edge Edge

	peer, server atomic.Int64 // nanoseconds for which it waited for either
	refusals     atomic.Int64

	observer sync.WaitGroup
}

func newWaits(e Edge) *waits { return &waits{edge: e} }

// Peer names what the end has waited for most.
func (w *waits) Peer() string {
	switch {
	case w == nil:
		return ""
	case w.server.Load() > w.peer.Load():
		return w.edge.server()
	}
	return w.edge.peer()
}

// waiting counts the time until the function that it returns is called as time
// for which the end waits for the other one, or for the server.
func (w *waits) waiting(peer bool) func() {
	begin := time.Now()
	return func() {
		to := &w.server
		if peer {
			to = &w.peer
		}
		to.Add(int64(time.Since(begin)))
	}
}

// observe asks how full the edge is, until the link is closed.
func (w *waits) observe(l *link, st jetstream.Stream) {
	w.observer.Go(func() {
		for {
			ctx, cancel := context.WithTimeout(l.ctx, connectTime)
			info, err := st.Info(ctx)
			cancel()
			_ = info
			_ = err
			t := time.NewTimer(observeEvery)
			select {
			case <-t.C:
			case <-l.ctx.Done():
				t.Stop()
				return
			}
		}
	})
}

// settle waits until nothing observes the edge any more.
func (w *waits) settle() { w.observer.Wait() }
