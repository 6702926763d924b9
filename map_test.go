package weir

import (
	"context"
	"errors"
	"math"
	"math/rand"
	"runtime"
	"sync/atomic"
	"testing"
	"testing/synctest"
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

func TestWindow_HoldsWithEveryOtherOption(t *testing.T) {
	for name, more := range map[string][]MapOption{"ordered": nil, "unordered": {Unordered()}, "skipping": {SkipItems(nil)}, "retrying": {RetryItems(2, nil)}} {
		for _, window := range []int{1, 2, 5, 100} {
			synctest.Test(t, func(t *testing.T) {
				var now, most atomic.Int64
				f := func(_ context.Context, v int) (int, error) {
					for n := now.Add(1); ; {
						if old := most.Load(); old >= n || most.CompareAndSwap(old, n) {
							break
						}
					}
					time.Sleep(time.Millisecond)
					now.Add(-1)
					return v, nil
				}
				n, err := Count(t.Context(), MapContext(FromSlice(make([]int, 60)), f, append([]MapOption{Workers(8), Window(window)}, more...)...))
				if n != 60 || err != nil {
					t.Errorf("%s, window %d: %d values, %v", name, window, n, err)
				}
				if most.Load() > int64(min(8, window)) {
					t.Errorf("%s, window %d: %d values in progress", name, window, most.Load())
				}
			})
		}
	}
}

// Numbers that mean "no limit" are no error.
func TestOptions_TakeTheLargestNumbers(t *testing.T) {
	double := func(v int) (int, error) { return 2 * v, nil }
	flat := func(_ context.Context, b []int, emit func(...int) error) error { return emit(b...) }
	for name, s := range map[string]Stream[int]{
		"window":           Map(Values(1, 2, 3), double, Workers(2), Window(math.MaxInt)),
		"unordered window": Map(Values(1, 2, 3), double, Workers(2), Window(math.MaxInt), Unordered()),
		"batch bytes":      FlatMap(Batch(Values(1, 2, 3), BatchOptions{Bytes: math.MaxInt64}), flat),
		"batch items":      FlatMap(Batch(Values(1, 2, 3), BatchOptions{Items: math.MaxInt}), flat),
		"dedupe":           DedupeBy(Values(1, 2, 3), func(v int) int { return v }, math.MaxInt),
		"take":             Take(Values(1, 2, 3), math.MaxInt),
		"async items":      Values(1, 2, 3).Async(Items(math.MaxInt)),
		"async bytes":      Values(1, 2, 3).Async(Bytes(math.MaxInt64)),
	} {
		f := s.To(Discard[int]())
		if c, err := f.Ceiling(); err != nil || c.Bytes < 0 {
			t.Errorf("%s: ceiling %d, %v", name, c.Bytes, err)
		}
		if got, err := Collect(t.Context(), s, 10); len(got) != 3 || err != nil {
			t.Errorf("%s: %v, %v", name, got, err)
		}
	}
}

func TestDedupeBy_DoesNotKeepKeysThatEqualNothing(t *testing.T) {
	const n = 100_000
	heap := func() int64 {
		var m runtime.MemStats
		runtime.GC()
		runtime.ReadMemStats(&m)
		return int64(m.HeapAlloc)
	}
	values := make([]float64, n)
	seen, before := 0, heap()
	for _, err := range DedupeBy(FromSlice(values), func(float64) float64 { return math.NaN() }, 10).All(t.Context()) {
		if err != nil {
			t.Fatal(err)
		}
		if seen++; seen == n {
			if grown := heap() - before; grown > 5*n {
				t.Errorf("%d keys take %d bytes", n, grown)
			}
		}
	}
	runtime.KeepAlive(values)
	if seen != n {
		t.Errorf("%d of %d values that equal nothing passed", seen, n)
	}
}
