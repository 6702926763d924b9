package weir

import "context"

// FlatMap turns each value into any number of values. What f gives to emit is
// visible downstream at once, and emit waits while downstream is full, so that
// a value that becomes a thousand stays bounded. The error of emit must be
// returned.
func FlatMap[T, U any](s Stream[T], f func(ctx context.Context, v T, emit func(...U) error) error) Stream[U] {
	if f == nil {
		return failed[U]("flat map", errNilFunc, s.roots())
	}
	return Via(s, Do("flat map", func(ctx context.Context, in []T, emit func([]U) error) error {
		each := func(us ...U) error { return emit(us) }
		for _, v := range in {
			if ctx.Err() != nil {
				return context.Cause(ctx)
			}
			if err := f(ctx, v, each); err != nil {
				return err
			}
		}
		return nil
	}, nil))
}
