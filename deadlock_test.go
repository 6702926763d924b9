package weir_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/weir-go/weir"
)

// crossed is two tees whose branches meet in the wrong order: each Concat waits
// for the branch that the other one is to read later.
func crossed(n int, budget *weir.Budget) *weir.Flow {
	a := weir.Tee(weir.FromSlice(ints(n)), weir.Branch{}, weir.Branch{})
	b := weir.Tee(weir.FromSlice(ints(n)), weir.Branch{}, weir.Branch{})
	f := weir.Join(
		weir.Concat(a[0], b[0]).Named("left").To(weir.Discard[int]()),
		weir.Concat(b[1], a[1]).Named("right").To(weir.Discard[int]()),
	)
	f.Limit, f.Budget = weir.Items(16), budget
	return f
}

func TestFlow_ThatWaitsForItselfEndsWithErrDeadlock(t *testing.T) {
	for name, budget := range map[string]*weir.Budget{"no budget": nil, "budget": weir.NewBudget(1 << 20)} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				err := crossed(10_000, budget).Run(t.Context())
				if !errors.Is(err, weir.ErrDeadlock) {
					t.Fatal(err)
				}
				for _, part := range []string{"left", "right", "tee", "waits for"} {
					if !strings.Contains(err.Error(), part) {
						t.Errorf("%q is not in %q", part, err)
					}
				}
				if err := crossed(10, budget).Run(t.Context()); err != nil {
					t.Errorf("a flow that fits into its pipes: %v", err)
				}
			})
		})
	}
}

func TestFlow_DiamondsRunIfTheyCan(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := weir.Tee(weir.FromSlice(ints(10_000)), weir.Branch{}, weir.Branch{})
		double := weir.Map(b[1], func(i int) (int, error) { return 2 * i, nil }, weir.Workers(3))
		pairs, err := weir.Collect(t.Context(), weir.Zip(b[0], double), 10_000)
		if err != nil || len(pairs) != 10_000 || pairs[77] != (weir.Pair[int, int]{First: 77, Second: 154}) {
			t.Error(len(pairs), err)
		}

		// One branch loses what the other one has, until it is too far behind.
		b = weir.Tee(weir.FromSlice(ints(10_000)), weir.Branch{}, weir.Branch{})
		few := weir.Filter(b[1], func(i int) bool { return i == 9_999 })
		f := weir.Zip(b[0], few).To(weir.Discard[weir.Pair[int, int]]())
		f.Limit = weir.Items(16)
		if err := f.Run(t.Context()); !errors.Is(err, weir.ErrDeadlock) {
			t.Error(err)
		}
	})
}

func TestFlow_WaitsForPipesThatOthersUse(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r, w := weir.NewPipe[int](weir.Items(1))
		in, out := weir.NewPipe[int](weir.Items(1))
		f := weir.Join(weir.FromPipe(r).To(weir.Discard[int]()), weir.Values(1, 2, 3).To(weir.ToPipe(out)))
		done := make(chan error)
		go func() { done <- f.Run(t.Context()) }()
		synctest.Wait() // all of its lanes wait
		go func() {
			time.Sleep(time.Hour)
			w.Close()
			for {
				if _, err := in.Recv(context.Background()); err != nil {
					return
				}
			}
		}()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
}

func TestJoin_FeedsOneFlowFromAnother(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r, w := weir.NewPipe[int](weir.Items(2))
		got := 0
		err := weir.Join(
			weir.FromSlice(ints(1000)).To(weir.ToPipe(w)),
			weir.FromPipe(r).To(weir.Each(func(_ context.Context, i int) error { got++; return nil })),
		).Run(t.Context())
		if err != nil || got != 1000 {
			t.Error(got, err)
		}
	})
	// A circle through pipes of one's own has no beginning.
	synctest.Test(t, func(t *testing.T) {
		r1, w1 := weir.NewPipe[int](weir.Items(1))
		r2, w2 := weir.NewPipe[int](weir.Items(1))
		err := weir.Join(
			weir.FromPipe(r1).To(weir.ToPipe(w2)),
			weir.FromPipe(r2).To(weir.ToPipe(w1)),
		).Run(t.Context())
		if !errors.Is(err, weir.ErrDeadlock) {
			t.Error(err)
		}
	})
}

// nested wraps a stream in a Concat, depth times.
func nested(s weir.Stream[int], depth int) weir.Stream[int] {
	for range depth {
		s = weir.Concat(weir.Values(0), s, weir.Values[int]())
	}
	return s
}

func TestConcat_NoticesADeadlockThroughOneOfItsStreams(t *testing.T) {
	id := func(i int) (int, error) { return i, nil }
	positive := func(i int) bool { return i > 0 }
	double := func(s weir.Stream[int]) weir.Stream[int] { return weir.Map(s, id, weir.Workers(2)) }
	for _, c := range []struct {
		name   string
		inside func(weir.Stream[int]) weir.Stream[int]
	}{
		{"as it is", func(s weir.Stream[int]) weir.Stream[int] { return s }},
		{"behind workers", double},
		{"behind a pipe", func(s weir.Stream[int]) weir.Stream[int] { return s.Async(weir.Items(1)) }},
		{"merged", func(s weir.Stream[int]) weir.Stream[int] { return weir.Merge(s, weir.Values(0, 0)) }},
	} {
		for depth := range 3 {
			t.Run(fmt.Sprintf("%s, %d deep", c.name, depth+1), func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					// Each flow waits for the values of the other one.
					r1, w1 := weir.NewPipe[int](weir.Items(1))
					r2, w2 := weir.NewPipe[int](weir.Items(1))
					err := weir.Join(
						weir.Filter(nested(weir.Concat(c.inside(weir.FromPipe(r1)), weir.Values(7)), depth), positive).To(weir.ToPipe(w2)),
						weir.Filter(nested(weir.Concat(weir.Values[int](), c.inside(weir.FromPipe(r2))), depth), positive).To(weir.ToPipe(w1)),
					).Run(t.Context())
					if !errors.Is(err, weir.ErrDeadlock) {
						t.Error(err)
					}
				})
			})
		}
	}
}

// The lane that runs a stream inside a Concat also executes what follows the
// Concat, and waits there.
func TestConcat_NoticesADeadlockBehindIt(t *testing.T) {
	triple := func(s weir.Stream[int]) weir.Stream[int] {
		return weir.FlatMap(s, func(_ context.Context, i int, emit func(...int) error) error { return emit(i, i, i) })
	}
	for name, between := range map[string]func(weir.Stream[int]) weir.Stream[int]{
		"at once":       triple,
		"behind a pipe": func(s weir.Stream[int]) weir.Stream[int] { return triple(s.Async(weir.Items(1))) },
	} {
		for depth := range 3 {
			t.Run(fmt.Sprintf("%s, %d deep", name, depth+1), func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					r1, w1 := weir.NewPipe[int](weir.Items(1))
					r2, w2 := weir.NewPipe[int](weir.Items(1))
					err := weir.Join(
						between(nested(weir.Concat(weir.Values(1), weir.FromPipe(r2)), depth)).To(weir.ToPipe(w1)),
						between(nested(weir.FromPipe(r1), depth+1)).To(weir.ToPipe(w2)),
					).Run(t.Context())
					if !errors.Is(err, weir.ErrDeadlock) {
						t.Error(err)
					}
				})
			})
		}
	}
}

func TestConcat_FeedsItsStreamsFromTheFlowAround(t *testing.T) {
	for range 20 {
		r, w := weir.NewPipe[int](weir.Items(2))
		got := 0
		f := weir.Join(
			weir.FromSlice(ints(1000)).To(weir.ToPipe(w)),
			nested(weir.FromPipe(r), 3).Async(weir.Items(1)).To(weir.Each(func(context.Context, int) error { got++; return nil })),
		)
		if err := f.Run(t.Context()); err != nil || got != 1003 {
			t.Fatal(got, err)
		}
	}
}

func TestFlow_WaitsForABudgetThatOthersHold(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		budget := weir.NewBudget(64 << 10)
		f := crossed(2_000, budget)
		f.Limit = weir.Items(4_000)
		if err := budget.Acquire(t.Context(), 32<<10); err != nil {
			t.Fatal(err)
		}
		done := make(chan error)
		go func() { done <- f.Run(t.Context()) }()
		synctest.Wait()
		select {
		case err := <-done:
			t.Fatal("ended before the budget was free:", err)
		default:
		}
		budget.Release(32 << 10)
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
}

func TestFlow_NoticesADeadlockOnceNobodyElseUsesItsPipes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r1, w1 := weir.NewPipe[int](weir.Items(1))
		r2, w2 := weir.NewPipe[int](weir.Items(1))
		f := weir.Join(
			weir.FromPipe(r1).To(weir.ToPipe(w2)),
			weir.FromPipe(r2).To(weir.ToPipe(w1)),
		)
		guest, cancel := context.WithTimeout(t.Context(), time.Hour)
		defer cancel()
		left := make(chan error)
		go func() { _, err := r1.Recv(guest); left <- err }()
		done := make(chan error)
		go func() { done <- f.Run(t.Context()) }()
		synctest.Wait()
		select {
		case err := <-done:
			t.Fatal("ended while another reader waited:", err)
		default:
		}
		if err := <-left; !errors.Is(err, context.DeadlineExceeded) {
			t.Error(err)
		}
		if err := <-done; !errors.Is(err, weir.ErrDeadlock) {
			t.Error(err)
		}
	})
}

func TestFlow_IsNoDeadlockWhileALaneWorksBesideItsOwnPipe(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r, w := weir.NewPipe[int](weir.Items(1))
		// A guest waits for the pipe that the flow writes to, so that as many
		// wait as the flow has lanes, while its function works.
		guest, cancel := context.WithCancel(t.Context())
		var wg sync.WaitGroup
		wg.Go(func() { r.Recv(guest) })
		err := weir.Join(
			weir.Map(weir.Values(1, 2), func(i int) (int, error) { time.Sleep(time.Hour); return i, nil }).To(weir.ToPipe(w)),
			weir.FromPipe(r).To(weir.Discard[int]()),
		).Run(t.Context())
		cancel()
		wg.Wait()
		if err != nil {
			t.Error(err)
		}
	})
}

// A guest that has been woken counts neither as waiting nor as a lane.
func TestFlow_IsNoDeadlockWhileAGuestThatWasWokenHasNotRun(t *testing.T) {
	for range 300 {
		r, w := weir.NewPipe[int](weir.Items(1))
		guests, stop := context.WithCancel(t.Context())
		var wg sync.WaitGroup
		for range 2 {
			wg.Go(func() {
				for {
					if _, err := r.Recv(guests); err != nil {
						return
					}
				}
			})
		}
		err := weir.Join(
			weir.Values(1, 2, 3, 4, 5, 6, 7, 8).To(weir.ToPipe(w)),
			weir.FromPipe(r).To(weir.Discard[int]()),
		).Run(t.Context())
		stop()
		wg.Wait()
		if err != nil {
			t.Fatal(err)
		}
	}
}
