package weir

import (
	"context"
	"fmt"
	"sync/atomic"
	"time"
)

// RateLimit lets at most n values, for bytes n bytes, pass in each span of time.
// It is measured where it stands: put it last to limit what reaches the sink.
// At most what passes in 50 ms goes at once. When it governs the flow the
// verdict says so.
//
//	weir.File("in").Through(weir.RateLimit[byte](10<<20, time.Second)).To(…)
func RateLimit[T any](n int64, per time.Duration) Stage[T, T] {
	st := Stage[T, T]{Name: "rate", limits: true}
	if n < 1 || per <= 0 {
		st.Err = fmt.Errorf("a rate of %d in %v: use 1 or more in a positive time", n, per)
		return st
	}
	st.Open = func(context.Context) (Transform[T, T], error) {
		return &limiter[T]{n: n, per: per, burst: max(1, int64(float64(n)*float64(50*time.Millisecond)/float64(per)))}, nil
	}
	return st
}

// limiter keeps the time at which the bucket would be empty: next. Each value
// moves it on by per/n; whatever is due before now may pass.
type limiter[T any] struct {
	n     int64
	per   time.Duration
	burst int64
	begin time.Time
	given int64 // since begin
}

func (l *limiter[T]) Do(ctx context.Context, in []T, emit func([]T) error) error {
	for len(in) > 0 {
		k := min(int64(len(in)), l.burst)
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

// wait waits until k more values are due.
func (l *limiter[T]) wait(ctx context.Context, k int64) error {
	t := time.Now()
	if l.begin.IsZero() {
		l.begin = t
	}
	// What was not used while nothing came is lost, but for one burst.
	if idle := l.due(l.given + l.burst); t.After(idle) {
		l.begin, l.given = t, 0
	}
	due := l.due(l.given)
	l.given += k
	if l.given >= l.n { // keep the numbers small
		l.begin, l.given = l.begin.Add(l.per), l.given-l.n
	}
	if d := due.Sub(t); d > 0 {
		return sleep(ctx, d)
	}
	return nil
}

// due is when given values have had their time.
func (l *limiter[T]) due(given int64) time.Time {
	return l.begin.Add(time.Duration(float64(l.per) * float64(given) / float64(l.n)))
}

func (l *limiter[T]) Flush(context.Context, func([]T) error) error { return nil }

// Throttle passes on at most one value in each interval, the first that comes,
// and leaves out the others, which are counted as dropped.
func Throttle[T any](s Stream[T], every time.Duration) Stream[T] {
	st := Stage[T, T]{Name: "throttle"}
	if every <= 0 {
		st.Err = fmt.Errorf("an interval of %v is not positive", every)
	}
	st.Open = func(context.Context) (Transform[T, T], error) { return &throttle[T]{every: every}, nil }
	return Via(s, st)
}

type throttle[T any] struct {
	every   time.Duration
	next    time.Time
	dropped *atomic.Int64
}

func (t *throttle[T]) countDrops(n *atomic.Int64) { t.dropped = n }

func (t *throttle[T]) Do(_ context.Context, in []T, emit func([]T) error) error {
	if now := time.Now(); !now.Before(t.next) {
		t.next = now.Add(t.every)
		if err := emit(in[:1]); err != nil {
			return err
		}
		in = in[1:]
	}
	t.dropped.Add(int64(len(in)))
	return nil
}

func (t *throttle[T]) Flush(context.Context, func([]T) error) error { return nil }
