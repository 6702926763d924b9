package weir_test

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"io"
	"math/rand/v2"
	"sync/atomic"
	"testing"

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

func collect[T any](s weir.Stream[T]) (out []T, err error) {
	err = s.To(weir.EachBatch(func(_ context.Context, batch []T) error {
		out = append(out, batch...)
		return nil
	})).Run(context.Background())
	return out, err
}

func TestHashAndTally_SeeEverything(t *testing.T) {
	data := bytes.Repeat([]byte("some bytes "), 10_000)
	var sum []byte
	var n atomic.Int64
	s := cut(data, 1).Through(weir.Hash(sha256.New, func(b []byte) { sum = b }))
	got, err := collect(weir.Tally(s, &n))
	want := sha256.Sum256(data)
	if err != nil || !bytes.Equal(got, data) || !bytes.Equal(sum, want[:]) || n.Load() != int64(len(data)) {
		t.Error(err, len(got), n.Load())
	}
	sum = nil
	_, err = collect(weir.FromReader(io.MultiReader(bytes.NewReader(data), errReader{})).Through(weir.Hash(sha256.New, func(b []byte) { sum = b })))
	if !errors.Is(err, errPart) || sum != nil {
		t.Error(err, sum)
	}
}

type errReader struct{}

func (errReader) Read([]byte) (int, error) { return 0, errPart }

type zerosAs byte

func (z zerosAs) Read(p []byte) (int, error) {
	for i := range p {
		p[i] = byte(z)
	}
	return len(p), nil
}
