package record_test

import (
	"context"
	"math/rand/v2"

	"github.com/weir-go/weir"
)

// cut makes a stream of data that arrives in pieces of random lengths.
func cut(data []byte, seed uint64) weir.Stream[byte] {
	return weir.Generate("cut", func(_ context.Context, emit func([]byte) error) error {
		r := rand.New(rand.NewPCG(seed, 7))
		for rest := data; len(rest) > 0; {
			n := min(len(rest), 1+r.IntN(1+r.IntN(40)))
			if err := emit(rest[:n]); err != nil {
				return err
			}
			rest = rest[n:]
		}
		return nil
	})
}

// collect returns the values before an error too.
func collect[T any](s weir.Stream[T]) (out []T, err error) {
	err = s.To(weir.EachBatch(func(_ context.Context, batch []T) error {
		out = append(out, batch...)
		return nil
	})).Run(context.Background())
	return out, err
}
