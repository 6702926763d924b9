package weirtest

import (
	"context"
	"math/rand/v2"

	"github.com/weir-go/weir"
)

// Rechunk makes a stage that passes values on in other batches: it cuts each
// batch at random places, the same ones for the same seed and the same batches.
// What a stage does with a stream must not depend on them.
//
// The batches lie in memory of the stage, which is cleared when they have been
// handed on. Whoever keeps a batch, against the rule, is left with zeros.
//
// In front of a stage with a goroutine of its own, a pipe puts pieces together
// again. A small limit behind Rechunk keeps them apart:
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
