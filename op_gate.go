package weir

import (
	"context"
	"errors"
	"sync"
)

// Gate pauses and resumes flows while they run. The zero Gate is open. It may
// be used concurrently and by several flows, and must not be copied.
type Gate struct {
	mu     sync.Mutex
	closed chan struct{} // closed by Resume; nil while the gate is open
}

// Pause closes the gate: no value passes until Resume. Values that have passed
// go on.
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

// Gated lets values pass while the gate is open. They pass one by one, bytes in
// chunks, so that a Pause from downstream holds back the very next. The time it
// waits is time its stage is busy.
func Gated[T any](s Stream[T], g *Gate) Stream[T] {
	st := Stage[T, T]{Name: "gate", Holders: -1}
	if g == nil {
		st.Err = errors.New("its gate is nil")
	}
	st.Open = func(context.Context) (Transform[T, T], error) {
		return funcTransform[T, T]{do: func(ctx context.Context, in []T, emit func([]T) error) error {
			step := 1
			if isByte[T]() {
				step = len(in)
			}
			for len(in) > 0 {
				if err := g.pass(ctx); err != nil {
					return err
				}
				if err := emit(in[:step]); err != nil {
					return err
				}
				in = in[step:]
			}
			return nil
		}}, nil
	}
	return Via(s, st)
}
