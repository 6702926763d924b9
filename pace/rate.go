package pace

import (
	"context"
	"fmt"
	"time"

	"github.com/weir-go/weir"
	"github.com/weir-go/weir/internal/pause"
)

// RateLimit lets n values, or n bytes, pass in each period per. The rate applies at
// the stage's place in the flow: put it last to limit the rate at the sink. Values
// pass in portions of 50 ms. After a stall of the sink or of the machine, the flow
// catches up at most 200 ms of the rate. So in any period at most the due amount
// plus 250 ms of the rate passes, and at least one value. If the rate limit is the
// bottleneck, the verdict says so.
//
//	weir.File("in").Through(pace.RateLimit[byte](10<<20, time.Second)).To(…)
func RateLimit[T any](n int64, per time.Duration) weir.Stage[T, T] {
	st := weir.Stage[T, T]{Name: "rate", Limits: true, Holders: -1}
	if n < 1 || per <= 0 {
		st.Err = fmt.Errorf("invalid rate of %d in %v; use 1 or more in a positive time", n, per)
		return st
	}
	st.Open = func(context.Context) (weir.Transform[T, T], error) {
		piece := float64(n) * float64(ratePiece) / float64(per)
		return &limiter[T]{n: n, per: per, piece: int64(min(max(1, piece), 1<<40))}, nil
	}
	return st
}

const (
	ratePiece   = 50 * time.Millisecond  // the values of this time pass at once
	rateCatchUp = 200 * time.Millisecond // how much of a stall is made up for
)

// limiter knows since when it keeps to the rate and how many values have passed
// since then, so that the time at which the next may pass is exact.
type limiter[T any] struct {
	n     int64
	per   time.Duration
	piece int64
	begin time.Time
	given int64 // since begin
}

func (l *limiter[T]) Do(ctx context.Context, in []T, emit func([]T) error) error {
	for len(in) > 0 {
		k := min(int64(len(in)), l.piece)
		if err := l.wait(ctx, k); err != nil {
			return err
		}
		if err := emit(in[:k]); err != nil {
			return err
		}
		in = in[k:]
	}
	return nil
}

// wait waits until those before the next k values have had their time.
func (l *limiter[T]) wait(ctx context.Context, k int64) error {
	t := time.Now()
	if l.begin.IsZero() {
		l.begin = t
	}
	due := l.begin.Add(time.Duration(float64(l.per) * float64(l.given) / float64(l.n)))
	if lost := t.Sub(due) - rateCatchUp; lost > 0 {
		l.begin = l.begin.Add(lost)
	}
	l.given += k
	if spans := l.given / l.n; spans > 0 { // keep the numbers small
		l.begin = l.begin.Add(time.Duration(spans) * l.per)
		l.given %= l.n
	}
	if d := due.Sub(t); d > 0 {
		return pause.For(ctx, d)
	}
	return nil
}

func (l *limiter[T]) Flush(context.Context, func([]T) error) error { return nil }

// Throttle passes on at most one value in each interval, the first that arrives. It
// leaves out the others and counts them as dropped.
func Throttle[T any](s weir.Stream[T], every time.Duration) weir.Stream[T] {
	st := weir.Stage[T, T]{Name: "throttle", Holders: -1}
	if every <= 0 {
		st.Err = fmt.Errorf("invalid interval %v; use a positive one", every)
	}
	st.Open = func(context.Context) (weir.Transform[T, T], error) { return &throttle[T]{every: every}, nil }
	return weir.Via(s, st)
}

type throttle[T any] struct {
	every time.Duration
	next  time.Time
}

func (t *throttle[T]) Do(ctx context.Context, in []T, emit func([]T) error) error {
	if now := time.Now(); !now.Before(t.next) {
		t.next = now.Add(t.every)
		if err := emit(in[:1]); err != nil {
			return err
		}
		in = in[1:]
	}
	weir.CountDropped(ctx, int64(len(in)))
	return nil
}

func (t *throttle[T]) Flush(context.Context, func([]T) error) error { return nil }
