package weir

import (
	"context"
	"errors"
	"fmt"
)

// Partition splits a stream into n: a value goes to stream key(v) modulo n, and
// values with the same key stay in order. All streams must be used, as with
// [Tee], and the slowest holds all others back. Values for a stream that has
// ended early are dropped and counted.
func Partition[T any](s Stream[T], n int, key func(T) int) []Stream[T] {
	t := &tee[T]{name: "partition", in: s, branches: make([]Branch, max(n, 1)), key: key}
	if n < 1 {
		t.err = fmt.Errorf("%d streams: use 1 or more", n)
	}
	if key == nil {
		t.err = errors.New("its key function is nil")
	}
	return newTee(t)
}

// router sorts the values of a batch by the part that they go to.
type router[T any] struct {
	key   func(T) int
	to    []int // the part of each value
	buf   []T   // the values, part by part
	parts [][]T // in buf
}

func newRouter[T any](n int, key func(T) int) *router[T] {
	return &router[T]{key: key, parts: make([][]T, n)}
}

// holds is what a router for n parts takes.
func (*router[T]) holds(n int) int64 {
	return int64(chunkLen[T]())*(slotSize[T]()+8) + int64(n)*24
}

// route sorts a batch of at most chunkLen values, until ctx ends.
func (r *router[T]) route(ctx context.Context, batch []T) error {
	if r.buf == nil {
		r.to, r.buf = make([]int, chunkLen[T]()), make([]T, chunkLen[T]())
	}
	n := len(r.parts)
	clear(r.parts)
	counts := r.parts // the length of each part, so far with room for nothing
	for i, v := range batch {
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		k := r.key(v) % n
		if k < 0 {
			k += n
		}
		r.to[i] = k
		counts[k] = r.buf[:len(counts[k])+1]
	}
	at := 0
	for k, part := range counts {
		r.parts[k] = r.buf[at : at : at+len(part)]
		at += len(part)
	}
	for i, v := range batch {
		k := r.to[i]
		r.parts[k] = append(r.parts[k], v)
	}
	return nil
}

// clear lets go of a batch of n values.
func (r *router[T]) clear(n int) { clear(r.buf[:n]) }
