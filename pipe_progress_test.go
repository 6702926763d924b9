package weir_test

import (
	"context"
	"runtime"
	"testing"
	"time"

	"github.com/weir-go/weir"
)

// finishes runs a flow many times. The deadline is far longer than any run
// takes; it only turns a hang into a failure that shows who waits where.
func finishes(t *testing.T, runs int, flow func() *weir.Flow) {
	t.Helper()
	for i := range runs {
		ctx, cancel := context.WithCancel(t.Context())
		hung := make(chan []byte, 1)
		deadline := time.AfterFunc(30*time.Second, func() {
			dump := make([]byte, 1<<20)
			hung <- dump[:runtime.Stack(dump, true)]
			cancel()
		})
		err := flow().Run(ctx)
		deadline.Stop()
		cancel()
		select {
		case dump := <-hung:
			t.Fatalf("run %d hangs:\n%s", i, dump)
		default:
		}
		if err != nil {
			t.Fatal(err)
		}
	}
}

// Two writers of one pipe take turns while a budget grants them less than the
// room that the pipe has.
func TestPipe_WritersThatShareABudgetedPipeDoNotLoseTheirWakeUp(t *testing.T) {
	runs := 60
	if testing.Short() {
		runs = 10
	}
	budget := weir.NewBudget(64 << 20)
	id := func(v int) (int, error) { return v, nil }

	t.Run("tee, map, merge", func(t *testing.T) {
		values := make([]int, 3000)
		finishes(t, runs, func() *weir.Flow {
			n := 0
			b := weir.Tee(weir.FromSlice(values), weir.Branch{Limit: weir.Items(16)}, weir.Branch{Limit: weir.Items(17)})
			f := weir.Merge(weir.Map(b[0], id), weir.Map(b[1], id)).To(weir.EachBatch(func(_ context.Context, vs []int) error {
				n += len(vs)
				return nil
			}))
			f.Limit, f.Budget = weir.Items(8), budget
			return f
		})
	})
	t.Run("unordered workers", func(t *testing.T) {
		values := make([]int, 300)
		finishes(t, 4*runs, func() *weir.Flow {
			f := weir.Map(weir.FromSlice(values), id, weir.Workers(3), weir.Unordered()).To(weir.Each(func(context.Context, int) error { return nil }))
			f.Limit, f.Budget = weir.Items(3), budget
			return f
		})
	})
	if used := budget.Used(); used != 0 {
		t.Errorf("%d bytes of the budget are still taken", used)
	}
}
