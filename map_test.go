package weir

import (
	"context"
	"errors"
	"math/rand"
	"sync/atomic"
	"testing"
	"time"
)

func TestMap_KeepsOrder(t *testing.T) {
	for _, w := range []int{2, 4, 7} {
		for _, win := range []int{1, 3, 64, 1000} {
			n := 5000
			xs := make([]int, n)
			for i := range xs {
				xs[i] = i
			}
			next := 0
			var running, most atomic.Int32
			f := MapContext(FromSlice(xs), func(_ context.Context, i int) (int, error) {
				r := running.Add(1)
				for {
					m := most.Load()
					if r <= m || most.CompareAndSwap(m, r) {
						break
					}
				}
				if rand.Intn(1000) == 0 {
					time.Sleep(time.Microsecond)
				}
				running.Add(-1)
				return i, nil
			}, Workers(w), Window(win)).To(Each(func(_ context.Context, i int) error {
				if i != next {
					t.Errorf("got %d want %d", i, next)
					return errors.New("order")
				}
				next++
				return nil
			}))
			if err := f.Run(context.Background()); err != nil {
				t.Fatal(err)
			}
			if next != n {
				t.Fatal(next)
			}
			if most.Load() > int32(w) {
				t.Fatal(most.Load())
			}
		}
	}
}
func TestMap_UnorderedLosesNothing(t *testing.T) {
	n := 5000
	xs := make([]int, n)
	for i := range xs {
		xs[i] = i
	}
	sum := 0
	f := MapContext(FromSlice(xs), func(_ context.Context, i int) (int, error) { return i, nil }, Workers(4), Unordered()).To(Each(func(_ context.Context, i int) error { sum += i; return nil }))
	if err := f.Run(context.Background()); err != nil {
		t.Fatal(err)
	}
	if sum != n*(n-1)/2 {
		t.Fatal(sum)
	}
}
func TestMapContext_DeliversWhatIsBeforeAnError(t *testing.T) {
	var calls atomic.Int32
	boom := errors.New("boom")
	f := MapContext(Values(1, 2, 3, 4), func(ctx context.Context, i int) (int, error) {
		calls.Add(1)
		switch i {
		case 1:
			return i, nil
		case 2:
			return 0, boom
		}
		<-ctx.Done() // work on later values is stopped
		return 0, ctx.Err()
	}, Workers(2)).To(Discard[int]())
	err := f.Run(context.Background())
	if !errors.Is(err, boom) {
		t.Fatal(err)
	}
	if calls.Load() > 3 {
		t.Fatal(calls.Load())
	}
	t.Log(err)
}
func spin(d time.Duration) {
	for s := time.Now(); time.Since(s) < d; {
	}
}
func BenchmarkOrdered1us(b *testing.B)   { benchOrdered(b, time.Microsecond) }
func BenchmarkOrdered100us(b *testing.B) { benchOrdered(b, 100*time.Microsecond) }
func benchOrdered(b *testing.B, d time.Duration) {
	xs := make([]int, b.N)
	f := Map(FromSlice(xs), func(i int) (int, error) { spin(d); return i, nil }, Workers(4)).To(Discard[int]())
	b.ResetTimer()
	b.ReportAllocs()
	if err := f.Run(context.Background()); err != nil {
		b.Fatal(err)
	}
}
