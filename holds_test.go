package weir_test

import (
	"context"
	"io"
	"testing"

	"github.com/weir-go/weir"
)

func TestSourceAndSink_HoldsIsPartOfTheCeilingAndOfTheBudget(t *testing.T) {
	const holds = 1 << 20
	flow := func(in, out int64) *weir.Flow {
		src := weir.Source[byte]{Name: "in", Holds: in, Open: func(context.Context) (weir.Reader[byte], error) {
			return eof{}, nil
		}}
		dst := weir.Sink[byte]{Name: "out", Holds: out, Open: func(context.Context) (weir.Writer[byte], error) {
			return io.Discard, nil
		}}
		return weir.From(src).To(dst)
	}
	plain, err := flow(0, 0).Ceiling()
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct{ in, out int64 }{{holds, 0}, {0, holds}, {holds, holds}} {
		f := flow(c.in, c.out)
		got, err := f.Ceiling()
		if want := plain.Bytes + c.in + c.out; err != nil || got.Bytes != want {
			t.Errorf("source holds %d, sink holds %d: ceiling %d, %v; want %d", c.in, c.out, got.Bytes, err, want)
		}
		budget := weir.NewBudget(16 << 20)
		f.Budget = budget
		if err := f.Run(t.Context()); err != nil {
			t.Fatal(err)
		}
		if budget.Peak() < c.in+c.out {
			t.Errorf("source holds %d, sink holds %d: the budget gave %d", c.in, c.out, budget.Peak())
		}
	}
	for _, f := range []*weir.Flow{flow(-1, 0), flow(0, -1)} {
		if err := f.Run(t.Context()); err == nil {
			t.Error("a flow with a negative Holds ran")
		}
	}
}

type eof struct{}

func (eof) Read([]byte) (int, error) { return 0, io.EOF }
