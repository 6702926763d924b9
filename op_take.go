package weir

import (
	"context"
	"fmt"
)

// Take passes on the first n values and ends the source, without waiting for an
// extra value. Take of 0 values does not wait for the source.
func Take[T any](s Stream[T], n int64) Stream[T] {
	return counted(s, "take", n, func(in []T, left *int64) (out []T, enough bool) {
		k := min(int64(len(in)), *left)
		*left -= k
		return in[:k], *left == 0
	})
}

// Drop leaves out the first n values.
func Drop[T any](s Stream[T], n int64) Stream[T] {
	return counted(s, "drop", n, func(in []T, left *int64) ([]T, bool) {
		k := min(int64(len(in)), *left)
		*left -= k
		return in[k:], false
	})
}

func counted[T any](s Stream[T], name string, n int64, f func(in []T, left *int64) (out []T, enough bool)) Stream[T] {
	if n < 0 {
		return failed[T](name, fmt.Errorf("negative count %d", n), rootsOf(s))
	}
	if n == 0 && name == "take" {
		return Via(s, nothing[T](name))
	}
	return Via(s, Stage[T, T]{Name: name, Holders: -1, Open: func(context.Context) (Transform[T, T], error) {
		left := n
		return funcTransform[T, T]{do: func(_ context.Context, in []T, emit func([]T) error) error {
			out, enough := f(in, &left)
			if err := emit(out); err != nil {
				return err
			}
			if enough {
				return ErrStop
			}
			return nil
		}}, nil
	}})
}

// nothing ends without reading.
func nothing[T any](name string) Stage[T, T] {
	return Stage[T, T]{Name: name, Holders: -1, Run: func(context.Context, Reader[T], Writer[T]) error { return nil }}
}

// TakeWhile passes on values as long as f returns true, and then ends the
// source.
func TakeWhile[T any](s Stream[T], f func(T) bool) Stream[T] {
	if f == nil {
		return failed[T]("take while", errNilFunc, rootsOf(s))
	}
	st := Do("take while", func(ctx context.Context, in []T, emit func([]T) error) error {
		for i, v := range in {
			if ctx.Err() != nil {
				return context.Cause(ctx)
			}
			if !f(v) {
				if err := emit(in[:i]); err != nil {
					return err
				}
				return ErrStop
			}
		}
		return emit(in)
	}, nil)
	st.Holders = -1
	return Via(s, st)
}

// DropWhile leaves out values as long as f returns true.
func DropWhile[T any](s Stream[T], f func(T) bool) Stream[T] {
	st := Stage[T, T]{Name: "drop while", Holders: -1}
	if f == nil {
		st.Err = errNilFunc
	}
	st.Open = func(context.Context) (Transform[T, T], error) {
		dropping := true
		return funcTransform[T, T]{do: func(ctx context.Context, in []T, emit func([]T) error) error {
			for dropping && len(in) > 0 {
				if ctx.Err() != nil {
					return context.Cause(ctx)
				}
				if dropping = f(in[0]); dropping {
					in = in[1:]
				}
			}
			return emit(in)
		}}, nil
	}
	return Via(s, st)
}
