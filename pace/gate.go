// Package pace has stages that control how fast and when values pass: at a
// limited rate, one in each interval, or none while a gate is closed. If
// [RateLimit] is the bottleneck of a flow, the verdict calls it a limit.
//
// The package uses only the exported names of package weir.
package pace

import (
	"context"
	"errors"
	"sync"

	"github.com/weir-go/weir"
)

// Gate pauses and resumes running flows. The zero Gate is open. A Gate can be used
// concurrently and by several flows, and must not be copied.
type Gate struct {
	mu     sync.Mutex
	closed chan struct{} // closed by Resume; nil while the gate is open
}

// Pause closes the gate: no value passes until Resume. Values that have already
// passed the gate continue downstream.
func (g *Gate) Pause() {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.closed == nil {
		g.closed = make(chan struct{})
	}
}

// Resume opens the gate.
func (g *Gate) Resume() {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.closed != nil {
		close(g.closed)
		g.closed = nil
	}
}

// Paused reports whether the gate is closed.
func (g *Gate) Paused() bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.closed != nil
}

// pass waits until the gate is open.
func (g *Gate) pass(ctx context.Context) error {
	for {
		g.mu.Lock()
		ch := g.closed
		g.mu.Unlock()
		if ch == nil {
			return nil
		}
		select {
		case <-ch:
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
}

// Gated lets values pass while the gate is open. They pass one by one, and bytes in
// chunks, so that a Pause from downstream holds back even the next one. The time
// for which the gate is closed counts as busy time of the stage.
func Gated[T any](s weir.Stream[T], g *Gate) weir.Stream[T] {
	st := weir.Stage[T, T]{Name: "gate", Holders: -1}
	if g == nil {
		st.Err = errors.New("nil gate")
	}
	st.Open = func(context.Context) (weir.Transform[T, T], error) { return gated[T]{g}, nil }
	return weir.Via(s, st)
}

type gated[T any] struct{ g *Gate }

func (t gated[T]) Do(ctx context.Context, in []T, emit func([]T) error) error {
	step := 1
	if _, bytes := any(in).([]byte); bytes {
		step = len(in)
	}
	for len(in) > 0 {
		if err := t.g.pass(ctx); err != nil {
			return err
		}
		if err := emit(in[:step]); err != nil {
			return err
		}
		in = in[step:]
	}
	return nil
}

func (t gated[T]) Flush(context.Context, func([]T) error) error { return nil }
