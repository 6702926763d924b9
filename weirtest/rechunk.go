package weirtest

import (
	"context"
	"math/rand/v2"

	"github.com/weir-go/weir"
)

// Rechunk makes a stage that passes values on in other batches: it cuts each
// batch at random places, which are the same for the same seed and the same
// batches. The result of a stage under test must not depend on these places.
//
// The batches are in memory of the stage, which is cleared when they have been
// passed on. A stage that keeps a batch, against the rule, is left with zeros.
//
// In front of a stage with a separate goroutine, a pipe joins the pieces again.
// A small limit after Rechunk keeps them apart:
//
//	s.Through(weirtest.Rechunk[byte](seed)).Async(weir.Bytes(3))
func Rechunk[T any](seed uint64) weir.Stage[T, T] {
	return weir.Stage[T, T]{
		Name: "rechunk",
		Open: func(context.Context) (weir.Transform[T, T], error) {
			return &rechunker[T]{random: rand.New(rand.NewPCG(seed, 0))}, nil
		},
	}
}

type rechunker[T any] struct{ random *rand.Rand }

func (r *rechunker[T]) Do(_ context.Context, in []T, emit func([]T) error) error {
	for len(in) > 0 {
		// Short pieces find most mistakes, long ones the rest.
		n := min(len(in), 1+r.random.IntN(1+r.random.IntN(1+r.random.IntN(1000))))
		piece := make([]T, n)
		copy(piece, in)
		in = in[n:]
		err := emit(piece)
		clear(piece)
		if err != nil {
			return err
		}
	}
	return nil
}

func (r *rechunker[T]) Flush(context.Context, func([]T) error) error { return nil }
