package pace_test

import (
	"context"
	"math/rand/v2"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/weir-go/weir"
	"github.com/weir-go/weir/pace"
)

func TestRateLimit_IsExact(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		begin := time.Now()
		f := weir.FromSlice(make([]byte, 10_000)).Through(pace.RateLimit[byte](1000, time.Second)).To(weir.Discard[byte]())
		if err := f.Run(t.Context()); err != nil {
			t.Fatal(err)
		}
		// The last 50 pass 9.95 s after the first.
		if d := time.Since(begin); d != 9950*time.Millisecond {
			t.Errorf("10,000 bytes at 1,000 a second took %v", d)
		}
		if v := f.Report().Verdict; !v.Limit || !strings.Contains(v.String(), "rate limit") {
			t.Error(v)
		}
	})
}

func TestRateLimit_MakesUpForStalls(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		// One piece stalls the sink for longer than its 50 ms,
		// and then the next three are quick.
		calls := 0
		sink := weir.EachBatch(func(context.Context, []byte) error {
			if calls++; calls%4 == 1 && calls < 190 {
				time.Sleep(180 * time.Millisecond)
			}
			return nil
		})
		begin := time.Now()
		if err := weir.FromSlice(make([]byte, 10_000)).Through(pace.RateLimit[byte](1000, time.Second)).To(sink).Run(t.Context()); err != nil {
			t.Fatal(err)
		}
		if d := time.Since(begin); d != 9950*time.Millisecond {
			t.Errorf("10,000 bytes at 1,000 a second took %v", d)
		}
	})
}

func TestRateLimit_DoesNotMakeUpForLongStalls(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var at []time.Duration
		begin := time.Now()
		sink := weir.EachBatch(func(context.Context, []byte) error {
			if at = append(at, time.Since(begin)); len(at) == 1 {
				time.Sleep(10 * time.Second)
			}
			return nil
		})
		if err := weir.FromSlice(make([]byte, 1000)).Through(pace.RateLimit[byte](1000, time.Second)).To(sink).Run(t.Context()); err != nil {
			t.Fatal(err)
		}
		// Of the stall, 200 ms are left: four pieces, and the one that is due.
		for i, want := range []time.Duration{0, 10_000, 10_000, 10_000, 10_000, 10_000, 10_050, 10_100} {
			if at[i] != want*time.Millisecond {
				t.Fatalf("the pieces passed at %v", at)
			}
		}
	})
}

func TestRateLimit_IsNeverExceeded(t *testing.T) {
	type passed struct {
		at time.Duration
		n  int64
	}
	for _, rate := range []struct {
		n   int64
		per time.Duration
	}{{1000, time.Second}, {100, time.Millisecond}, {7, time.Second}, {1, time.Minute}, {3_000_000, time.Hour}} {
		synctest.Test(t, func(t *testing.T) {
			rnd := rand.New(rand.NewPCG(1, 2))
			var got []passed
			begin := time.Now()
			sink := weir.EachBatch(func(_ context.Context, batch []byte) error {
				got = append(got, passed{time.Since(begin), int64(len(batch))})
				if rnd.IntN(3) == 0 {
					time.Sleep(time.Duration(rnd.Int64N(int64(500 * time.Millisecond))))
				}
				return nil
			})
			total := max(20, 20*rate.n*int64(time.Second)/int64(rate.per))
			if err := weir.FromSlice(make([]byte, total)).Through(pace.RateLimit[byte](rate.n, rate.per)).To(sink).Run(t.Context()); err != nil {
				t.Fatal(err)
			}
			for i := range got {
				var n int64
				for _, p := range got[i:] {
					n += p.n
					d := p.at - got[i].at
					due := float64(rate.n) * float64(d+250*time.Millisecond) / float64(rate.per)
					if float64(n) > due+1+1e-6*float64(n) {
						t.Fatalf("%d in %v: %d passed in %v", rate.n, rate.per, n, d)
					}
				}
			}
		})
	}
}
