package weir

import (
	"context"
	"fmt"
	"hash"
	"sync/atomic"

	"github.com/weir-go/weir/internal/grow"
)

// stateful makes a stage whose function is made anew for each run, since it
// keeps something from batch to batch. It works in chunks of scratch memory.
func stateful[T, U any](s Stream[T], name string, start func() func(v T) (U, bool)) Stream[U] {
	return Via(s, statefulStage(name, start))
}

func statefulStage[T, U any](name string, start func() func(v T) (U, bool)) Stage[T, U] {
	return Stage[T, U]{
		Name:    name,
		Holds:   scratchHolds[U](),
		Holders: 2, // one in its hands, and one that it keeps
		Open: func(context.Context) (Transform[T, U], error) {
			return &keeper[T, U]{f: start(), out: make([]U, 0, chunkLen[U]())}, nil
		},
	}
}

type keeper[T, U any] struct {
	f    func(v T) (U, bool)
	out  []U
	sum  int64 // the charge of the values in out
	size func(*U) int64
}

func (k *keeper[T, U]) gatherFor(out link[U]) { k.size = out.size }

func (k *keeper[T, U]) Do(ctx context.Context, in []T, emit func([]U) error) error {
	for _, v := range in {
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		u, ok := k.f(v)
		if !ok {
			continue
		}
		k.out = append(k.out, u)
		if k.size != nil {
			k.sum += k.size(&k.out[len(k.out)-1])
		}
		if len(k.out) == cap(k.out) || k.sum >= maxSegment {
			if err := k.hand(emit); err != nil {
				return err
			}
		}
	}
	return k.hand(emit)
}

func (k *keeper[T, U]) hand(emit func([]U) error) error {
	err := emit(k.out)
	clear(k.out)
	k.out, k.sum = k.out[:0], 0
	return err
}

func (k *keeper[T, U]) Flush(context.Context, func([]U) error) error { return nil }

// Scan passes on the running result of f: f(init, first), then f of that and
// the second value, and so on.
func Scan[T, A any](s Stream[T], init A, f func(acc A, v T) A) Stream[A] {
	if f == nil {
		return failed[A]("scan", errNilFunc, rootsOf(s))
	}
	return stateful(s, "scan", func() func(T) (A, bool) {
		acc := init
		return func(v T) (A, bool) {
			acc = f(acc, v)
			return acc, true
		}
	})
}

// Enumerate passes on each value with its place in the stream, from 0.
func Enumerate[T any](s Stream[T]) Stream[Pair[int64, T]] {
	out := stateful(s, "enumerate", func() func(T) (Pair[int64, T], bool) {
		n := int64(-1)
		return func(v T) (Pair[int64, T], bool) {
			n++
			return Pair[int64, T]{n, v}, true
		}
	})
	if f := sizedAs[T](s); f != nil {
		out = out.Sized(func(v Pair[int64, T]) int { return f(v.Second) })
	}
	return out
}

// Tap calls f with each value and passes it on.
func Tap[T any](s Stream[T], f func(T)) Stream[T] {
	if f == nil {
		return failed[T]("tap", errNilFunc, rootsOf(s))
	}
	st := Do("tap", func(ctx context.Context, in []T, emit func([]T) error) error {
		for _, v := range in {
			if ctx.Err() != nil {
				return context.Cause(ctx)
			}
			f(v)
		}
		return emit(in)
	}, nil)
	st.Holders = -1
	return Via(s, st)
}

// Dedupe leaves out values that are equal to the one just before.
func Dedupe[T comparable](s Stream[T]) Stream[T] {
	return stateful(s, "dedupe", func() func(T) (T, bool) {
		var last T
		first := true
		return func(v T) (T, bool) {
			fresh := first || v != last
			first, last = false, v
			return v, fresh
		}
	})
}

// DedupeBy leaves out values whose key is among the last window different keys
// that were passed on. It holds at most window keys. A key that is not equal to
// itself, such as a NaN, is never held, so values with it always pass.
func DedupeBy[T any, K comparable](s Stream[T], key func(T) K, window int) Stream[T] {
	if key == nil {
		return failed[T]("dedupe", errNilFunc, rootsOf(s))
	}
	if window < 1 {
		return failed[T]("dedupe", fmt.Errorf("invalid window of %d keys; use 1 or more", window), rootsOf(s))
	}
	st := statefulStage("dedupe", func() func(T) (T, bool) {
		seen := make(map[K]struct{})
		ring := make([]K, 0, min(window, 1024))
		next := 0
		return func(v T) (T, bool) {
			k := key(v)
			if _, ok := seen[k]; ok {
				return v, false
			}
			if k != k { // a map cannot forget it
				return v, true
			}
			if len(ring) < window {
				ring = append(ring, k)
			} else {
				delete(seen, ring[next])
				ring[next] = k
				next = (next + 1) % window
			}
			seen[k] = struct{}{}
			return v, true
		}
	})
	st.Holders = 1
	st.Holds += grow.Countable(int64(window)) * 4 * (slotSize[K]() + 1) // a ring and a map of them
	if naturalSize[K]() != nil || uncovered[K](nil) != "" {
		st.Uncovered = "what its keys refer to"
	}
	return Via(s, st)
}

// Hash passes bytes on and computes their hash. done is called once with the sum
// when the stream reaches its end. It is not called if the flow fails before that.
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
// which can be read at any time.
func Tally[T any](s Stream[T], n *atomic.Int64) Stream[T] {
	return Via(s, Do("tally", func(_ context.Context, in []T, emit func([]T) error) error {
		n.Add(int64(len(in)))
		return emit(in)
	}, nil))
}
