package weir
import "context"
type MapOption func(*mapOptions)
type mapOptions struct { err error }
func (c mapOptions) plain() bool { return true }
func mapConfig(o []MapOption) (c mapOptions) { for _, f := range o { f(&c) }; return }
func mapWith[T, U any](s Stream[T], f func(context.Context, T) (U, error), c mapOptions) Stream[U] { return Stream[U]{} }
