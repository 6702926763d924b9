package weir_test

import (
	"context"
	"errors"
	"slices"
	"sync"
	"testing"

	"github.com/weir-go/weir"
	"github.com/weir-go/weir/report"
)

// observed is what a registration of OnRun has seen.
type observed struct {
	mu    sync.Mutex
	begun []string
	ended []error
	atEnd []report.Report
}

func (o *observed) begin(f *weir.Flow) func(error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.begun = append(o.begun, f.Name)
	if !f.Report().Running {
		o.begun = append(o.begun, "not running")
	}
	return func(err error) {
		o.mu.Lock()
		defer o.mu.Unlock()
		o.ended = append(o.ended, err)
		o.atEnd = append(o.atEnd, f.Report())
	}
}

func TestOnRun_SeesEveryRunThatBeginsBeforeItIsRemoved(t *testing.T) {
	var o observed
	remove := weir.OnRun(o.begin)
	defer remove()
	numbers := func() weir.Stream[int] { return weir.FromSlice([]int{1, 2, 3}) }
	broken := errors.New("broken")

	f := numbers().To(weir.Discard[int]())
	f.Name = "run"
	for range 2 {
		if err := f.Run(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := weir.Collect(t.Context(), numbers(), 10); err != nil {
		t.Fatal(err)
	}
	for range numbers().All(t.Context()) {
	}
	bad := numbers().To(weir.Each(func(context.Context, int) error { return broken }))
	bad.Name = "bad"
	if err := bad.Run(t.Context()); !errors.Is(err, broken) {
		t.Fatal(err)
	}
	var invalid weir.Stream[int]
	if invalid.To(weir.Discard[int]()).Run(t.Context()) == nil {
		t.Error("an empty stream ran")
	}
	remove()
	if err := f.Run(t.Context()); err != nil {
		t.Fatal(err)
	}
	remove()

	if want := []string{"run", "run", "", "", "bad"}; !slices.Equal(o.begun, want) {
		t.Errorf("begun: %q, want %q", o.begun, want)
	}
	if len(o.ended) != 5 || !errors.Is(o.ended[4], broken) || o.ended[0] != nil {
		t.Fatalf("ended: %v", o.ended)
	}
	for i, r := range o.atEnd {
		if r.Running || len(r.Stages) == 0 || r.Stages[0].Out != 3 && i < 4 {
			t.Errorf("report %d is not final: %+v", i, r)
		}
		if (r.Err != nil) != (i == 4) {
			t.Errorf("report %d has the error %v", i, r.Err)
		}
	}
}

func TestOnRun_FlowCannotRunAgainBeforeItsEndIsReported(t *testing.T) {
	var again error
	remove := weir.OnRun(func(f *weir.Flow) func(error) {
		return func(error) { again = f.Run(t.Context()) }
	})
	f := weir.FromSlice([]int{1}).To(weir.Discard[int]())
	if err := f.Run(t.Context()); err != nil {
		t.Fatal(err)
	}
	remove()
	if !errors.Is(again, weir.ErrRunning) {
		t.Errorf("a run within the end of another: %v, want %v", again, weir.ErrRunning)
	}
	if err := f.Run(t.Context()); err != nil {
		t.Errorf("a run after it: %v", err)
	}
}

func TestOnRun_EndsInReverseAndMayObserveOnlyTheBeginning(t *testing.T) {
	var order []string
	for _, name := range []string{"a", "b"} {
		defer weir.OnRun(func(*weir.Flow) func(error) {
			order = append(order, "begin "+name)
			return func(error) { order = append(order, "end "+name) }
		})()
	}
	defer weir.OnRun(func(*weir.Flow) func(error) { order = append(order, "begin only"); return nil })()
	if err := weir.FromSlice([]int{1}).To(weir.Discard[int]()).Run(t.Context()); err != nil {
		t.Fatal(err)
	}
	if want := []string{"begin a", "begin b", "begin only", "end b", "end a"}; !slices.Equal(order, want) {
		t.Errorf("got %q, want %q", order, want)
	}
}

// A run that nobody observes allocates what it did before anybody observed one.
func TestOnRun_LeavesNothingBehindWhenItIsRemoved(t *testing.T) {
	f := weir.FromSlice([]int{1}).To(weir.Discard[int]())
	run := func() {
		if err := f.Run(context.Background()); err != nil {
			t.Fatal(err)
		}
	}
	before := testing.AllocsPerRun(200, run)
	remove := weir.OnRun(func(*weir.Flow) func(error) { return func(error) {} })
	during := testing.AllocsPerRun(200, run)
	remove()
	if after := testing.AllocsPerRun(200, run); after > before || during <= before {
		t.Errorf("allocations of a run: %v before, %v observed, %v after", before, during, after)
	}
}

func BenchmarkRunThatNobodyObserves(b *testing.B) {
	f := weir.FromSlice([]int{1}).To(weir.Discard[int]())
	b.ReportAllocs()
	for b.Loop() {
		if err := f.Run(context.Background()); err != nil {
			b.Fatal(err)
		}
	}
}
