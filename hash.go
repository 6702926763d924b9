package weir

import (
	"context"
	"hash"
	"sync/atomic"
)

// Hash passes bytes on and adds them up in a hash. When the stream has come to
// its end, done is called once with the sum; a flow that fails does not call
// it, unless it fails later.
//
//	weir.Hash(sha256.New, func(sum []byte) { fmt.Printf("%x\n", sum) })
func Hash(newHash func() hash.Hash, done func(sum []byte)) Stage[byte, byte] {
	st := Stage[byte, byte]{Name: "hash"}
	if newHash == nil || done == nil {
		st.Err = errNilFunc
		return st
	}
	st.Open = func(context.Context) (Transform[byte, byte], error) {
		return &hasher{newHash(), done}, nil
	}
	return st
}

type hasher struct {
	h    hash.Hash
	done func([]byte)
}

func (h *hasher) Do(_ context.Context, in []byte, emit func([]byte) error) error {
	h.h.Write(in) // a hash never fails
	return emit(in)
}

func (h *hasher) Flush(context.Context, func([]byte) error) error {
	h.done(h.h.Sum(nil))
	return nil
}

// Tally passes values on and adds their number, for bytes their length, to n,
// which may be read at any time.
func Tally[T any](s Stream[T], n *atomic.Int64) Stream[T] {
	return Via(s, Do("tally", func(_ context.Context, in []T, emit func([]T) error) error {
		n.Add(int64(len(in)))
		return emit(in)
	}, nil))
}
