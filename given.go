package weir

import (
	"io"
	"sync/atomic"
)

// given is something that a flow was handed ready to use, as by [FromReader] or
// [ToPipe]. The flow has to close it, even if the flow never opens it.
type given struct {
	x     any
	used  atomic.Bool // a run has opened it, or closed it unopened
	again bool        // each run uses it anew
}

// take marks g as used. A source that has been used before is used up.
func (g *given) take() error {
	if g.used.Swap(true) {
		return ErrUsedUp
	}
	return nil
}

// closeGiven closes what no run has opened, with err, which it returns together
// with the errors of closing.
func closeGiven(all []*given, err error) error {
	cause := err
	for _, g := range all {
		err = also(err, g.closeUnopened(cause))
		if g.again {
			g.used.Store(false)
		}
	}
	return err
}

// closeUnopened closes what no run has opened.
func (g *given) closeUnopened(cause error) error {
	if g.used.Swap(true) {
		return nil
	}
	return protect("close", func() error { return closeWith(g.x, cause) })
}

// closeWith closes x, if it can be closed. A cause, unless it is ErrStop, goes to
// CloseWithError, if x has that method, so that the other end of a pipe learns
// it.
func closeWith(x any, cause error) error {
	if cause != nil && !isStop(cause) {
		if c, ok := x.(interface{ CloseWithError(error) error }); ok {
			return c.CloseWithError(cause)
		}
	}
	if c, ok := x.(io.Closer); ok {
		return c.Close()
	}
	return nil
}

// roots is what lies at the beginning of a stream.
type roots struct {
	tees  []any // Tees upstream: their branches have to run together
	given []*given
}

func (r roots) and(o roots) roots {
	return roots{append(r.tees[:len(r.tees):len(r.tees)], o.tees...), append(r.given[:len(r.given):len(r.given)], o.given...)}
}

func (s Stream[T]) roots() roots {
	if s.n == nil {
		return roots{}
	}
	return s.n.roots
}

// allRoots returns the roots of all of the streams.
func allRoots[T any](streams []Stream[T]) (r roots) {
	for _, s := range streams {
		r = r.and(s.roots())
	}
	return r
}
