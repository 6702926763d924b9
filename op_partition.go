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

// route sorts the values of a batch into parts, until ctx ends.
func route[T any](ctx context.Context, batch []T, parts [][]T, key func(T) int) error {
	for i := range parts {
		clear(parts[i])
		parts[i] = parts[i][:0]
	}
	for _, v := range batch {
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		i := key(v) % len(parts)
		if i < 0 {
			i += len(parts)
		}
		parts[i] = append(parts[i], v)
	}
	return nil
}
