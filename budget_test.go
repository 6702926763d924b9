package weir_test

import (
	"context"
	"errors"
	"io"
	"strings"
	"sync"
	"testing"
	"testing/synctest"

	"github.com/weir-go/weir"
)

// handOn is a stage that holds n bytes and hands its values on.
func handOn[T any](n int64) weir.Stage[T, T] {
	return weir.Stage[T, T]{
		Name: "pass on", Holds: n,
		Run: func(ctx context.Context, in weir.Reader[T], out weir.Writer[T]) error {
			buf := make([]T, 10)
			for {
				n, err := in.Read(buf)
				if err == io.EOF {
					return nil
				}
				if err != nil {
					return err
				}
				if _, err := out.Write(buf[:n]); err != nil {
					return err
				}
			}
		},
	}
}

func TestBudget_TwoFlowsWithValuesLargerThanTheReserveOfAPipe(t *testing.T) {
	const total, value, each = 1 << 20, 60 << 10, 200
	synctest.Test(t, func(t *testing.T) {
		budget := weir.NewBudget(total)
		var wg sync.WaitGroup
		for range 2 {
			left := each
			s := weir.Via(weir.FromFunc(func(context.Context) ([]byte, error) {
				if left--; left < 0 {
					return nil, io.EOF
				}
				return make([]byte, value), nil
			}), handOn[[]byte](600<<10)).Async(weir.Limit{})
			got := 0
			f := s.To(weir.Each(func(context.Context, []byte) error { got++; return nil }))
			f.Budget = budget
			wg.Go(func() {
				if err := f.Run(t.Context()); err != nil || got != each {
					t.Errorf("%d values, %v", got, err)
				}
			})
		}
		wg.Wait() // synctest ends the test if both wait for each other
		if budget.Used() != 0 {
			t.Errorf("%d bytes are still taken", budget.Used())
		}
		if most := int64(total + 2*4*value); budget.Peak() > most {
			t.Errorf("peak %d is more than the budget and a value for each pipe, %d", budget.Peak(), most)
		}
	})
}

func TestBudget_AnEmptyPipeTakesAnyValueAndCountsIt(t *testing.T) {
	const value = 3 << 20
	budget := weir.NewBudget(1 << 20)
	var most int64
	values := []string{strings.Repeat("x", value), strings.Repeat("y", value)}
	f := weir.FromSlice(values).Async(weir.Bytes(100 << 10)).To(weir.Each(func(context.Context, string) error {
		most = max(most, budget.Used())
		return nil
	}))
	f.Budget = budget
	if err := f.Run(t.Context()); err != nil {
		t.Fatal(err)
	}
	if most < value || budget.Peak() < value {
		t.Errorf("used at most %d, peak %d: a value of %d bytes was not counted", most, budget.Peak(), value)
	}
	if budget.Used() != 0 {
		t.Errorf("%d bytes are still taken", budget.Used())
	}
}

func TestBudget_AcquireAndRelease(t *testing.T) {
	ctx := context.Background()
	b := weir.NewBudget(100)
	if err := b.Acquire(ctx, -1); err == nil || errors.Is(err, weir.ErrBudget) {
		t.Errorf("Acquire(-1) = %v", err)
	}
	err := b.Acquire(ctx, 101)
	if want := "weir: 101 B needed but the budget is only 100 B"; !errors.Is(err, weir.ErrBudget) || err.Error() != want {
		t.Errorf("Acquire(101) = %v, want %s", err, want)
	}
	if err := b.Acquire(ctx, 60); err != nil {
		t.Fatal(err)
	}
	for _, n := range []int64{-1, 61} {
		func() {
			defer func() {
				if recover() == nil {
					t.Errorf("Release(%d) of 60 taken bytes did not panic", n)
				}
			}()
			b.Release(n)
		}()
	}
	if b.Used() != 60 || b.Peak() != 60 || b.Total() != 100 {
		t.Errorf("used %d, peak %d of %d", b.Used(), b.Peak(), b.Total())
	}
	b.Release(60)
	if err := weir.NewBudget(-5).Acquire(ctx, 0); !errors.Is(err, weir.ErrBudget) {
		t.Errorf("a budget of -5 bytes gave 0: %v", err)
	}
}

func TestBudget_RequestsAreServedInOrder(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := weir.NewBudget(10)
		b.Acquire(t.Context(), 6)
		var order []string
		want := func(name string, n int64, ctx context.Context) {
			go func() {
				if b.Acquire(ctx, n) == nil {
					order = append(order, name)
				}
			}()
			synctest.Wait()
		}
		quits, cancel := context.WithCancel(t.Context())
		want("large", 10, quits)
		want("small", 4, t.Context())
		want("last", 6, t.Context())
		if len(order) != 0 {
			t.Fatalf("%v went ahead of the one that came first", order)
		}
		cancel()
		synctest.Wait()
		if len(order) != 1 || order[0] != "small" {
			t.Fatalf("got %v after the first in the queue has left", order)
		}
		b.Release(6)
		synctest.Wait()
		if len(order) != 2 || b.Used() != 10 {
			t.Errorf("got %v, %d bytes taken", order, b.Used())
		}
	})
}
