package weir

import (
	"context"
	"errors"
	"fmt"
	"time"
)

// RateLimit lets n values, for bytes n bytes, pass in each span of time. It is
// measured where it stands: put it last to limit what reaches the sink. Values
// pass in pieces of 50 ms worth. What the flow falls behind, in a stall of the
// sink or of the machine, it catches up, but never more than 200 ms worth: what
// passes in any time is at most what is due in it and 250 ms worth, and at
// least one value. When it governs the flow the verdict says so.
//
//	weir.File("in").Through(weir.RateLimit[byte](10<<20, time.Second)).To(…)
func RateLimit[T any](n int64, per time.Duration) Stage[T, T] {
	st := Stage[T, T]{Name: "rate", Limits: true, Holders: -1}
	if n < 1 || per <= 0 {
		st.Err = fmt.Errorf("a rate of %d in %v: use 1 or more in a positive time", n, per)
		return st
	}
	st.Open = func(context.Context) (Transform[T, T], error) {
		piece := float64(n) * float64(ratePiece) / float64(per)
		return &limiter[T]{n: n, per: per, piece: int64(min(max(1, piece), 1<<40))}, nil
	}
	return st
}

const (
	ratePiece   = 50 * time.Millisecond  // what passes at once
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
		return sleep(ctx, d)
	}
	return nil
}

func (l *limiter[T]) Flush(context.Context, func([]T) error) error { return nil }

// Throttle passes on at most one value in each interval, the first that comes,
// and leaves out the others, which are counted as dropped.
func Throttle[T any](s Stream[T], every time.Duration) Stream[T] {
	st := Stage[T, T]{Name: "throttle", Holders: -1}
	if every <= 0 {
		st.Err = fmt.Errorf("an interval of %v is not positive", every)
	}
	st.Open = func(context.Context) (Transform[T, T], error) { return &throttle[T]{every: every}, nil }
	return Via(s, st)
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
	CountDropped(ctx, int64(len(in)))
	return nil
}

func (t *throttle[T]) Flush(context.Context, func([]T) error) error { return nil }

// Timeout ends the flow with [ErrStalled] when no value has come for d. Time in
// which downstream did not take what had come does not count.
func Timeout[T any](s Stream[T], d time.Duration) Stream[T] {
	st := Stage[T, T]{Name: "timeout", Holds: int64(chunkLen[T]()) * slotSize[T](), Holders: -1}
	if d <= 0 {
		st.Err = errors.New("its duration is not positive")
	}
	st.Run = func(_ context.Context, in Reader[T], out Writer[T]) error {
		r := in.(*laneReader[T])
		buf := make([]T, chunkLen[T]())
		timer := time.NewTimer(d)
		defer timer.Stop()
		for {
			timer.Reset(d)
			n, err := r.readUntil(buf, timer.C)
			switch {
			case err != nil:
				return nil // the end; a failure is kept by the reader
			case n == 0:
				return fmt.Errorf("%w for %v", ErrStalled, d)
			}
			if _, err := out.Write(buf[:n]); err != nil {
				return err
			}
			clear(buf[:n])
		}
	}
	return Via(s, st)
}
