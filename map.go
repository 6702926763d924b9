package weir

import (
	"context"
	"errors"
	"time"
)

// Map passes each value through f. An error of f ends the flow with an
// [*ItemError], unless [SkipItems] or [RetryItems] is given. With [Workers],
// several goroutines call f concurrently; Map keeps the order of the values unless
// [Unordered] is given.
func Map[T, U any](s Stream[T], f func(T) (U, error), opts ...MapOption) Stream[U] {
	if f == nil {
		return failed[U]("map", errNilFunc, rootsOf(s))
	}
	c := mapConfig(opts)
	if c.workers <= 1 && c.attempts <= 1 && c.skip == nil {
		return Via(s, Stage[T, U]{
			Name:  "map",
			Err:   c.err,
			Holds: scratchHolds[U](),
			Open:  func(context.Context) (Transform[T, U], error) { return &mapper[T, U]{f: f}, nil },
		})
	}
	return mapWith(s, func(_ context.Context, v T) (U, error) { return f(v) }, c)
}

// MapContext is like Map, for functions that wait. ctx ends when the flow ends. If
// f fails for a value, the contexts of later values end. The contexts of earlier
// values do not end, because their results still count, unless [Unordered] is
// given.
func MapContext[T, U any](s Stream[T], f func(ctx context.Context, v T) (U, error), opts ...MapOption) Stream[U] {
	if f == nil {
		return failed[U]("map", errNilFunc, rootsOf(s))
	}
	return mapWith(s, f, mapConfig(opts))
}

type mapper[T, U any] struct {
	f      func(T) (U, error)
	out    []U
	size   func(*U) int64
	clears bool // so that the scratch memory keeps no value alive
	index  int64
	pace   pace
}

func (m *mapper[T, U]) follow(sp *spot) { m.pace.follow(sp) }

func (m *mapper[T, U]) gatherFor(out link[U]) { m.size = out.size }

func (m *mapper[T, U]) Do(ctx context.Context, in []T, emit func([]U) error) error {
	if m.out == nil {
		m.out, m.clears = make([]U, chunkLen[U]()), hasPointers[U]()
	}
	for len(in) > 0 {
		k, since := m.pace.next(min(len(in), len(m.out)))
		var n int
		var err error
		if m.size == nil {
			n, err = m.all(ctx, in[:k], m.out[:k])
		} else {
			n, err = m.some(ctx, in[:k], m.out[:k])
		}
		out := m.out[:n]
		if err != nil {
			// Pass on the values before it.
			return errors.Join(emit(out), err)
		}
		k = n
		m.index += int64(k)
		err = emit(out)
		if m.clears {
			clear(out)
		}
		if err != nil {
			return err
		}
		m.pace.took(k, since, true)
		in = in[k:]
	}
	return nil
}

// all maps the values of in and returns how many it has mapped before an error.
func (m *mapper[T, U]) all(ctx context.Context, in []T, out []U) (int, error) {
	for done := 0; done < len(out); {
		if ctx.Err() != nil {
			return done, context.Cause(ctx)
		}
		k := min(m.pace.between(), len(out)-done)
		n, err := apply(m.f, in[done:done+k], out[done:done+k])
		done += n
		if err != nil {
			return done, itemError(m.index+int64(done), 1, err)
		}
	}
	return len(out), nil
}

// apply maps in to out until f fails, and returns how many values it mapped. It
// is a separate function so that the loop's variables stay in registers.
func apply[T, U any](f func(T) (U, error), in []T, out []U) (int, error) {
	for i, v := range in[:len(out)] {
		u, err := f(v)
		if err != nil {
			return i, err
		}
		out[i] = u
	}
	return len(out), nil
}

// some is all that stops when the results are charged maxSegment bytes.
func (m *mapper[T, U]) some(ctx context.Context, in []T, out []U) (int, error) {
	f, size, sum := m.f, m.size, int64(0)
	for done := 0; done < len(out); {
		if ctx.Err() != nil {
			return done, context.Cause(ctx)
		}
		for end := min(done+m.pace.between(), len(out)); done < end; done++ {
			u, err := f(in[done])
			if err != nil {
				return done, itemError(m.index+int64(done), 1, err)
			}
			out[done] = u
			if sum += size(&out[done]); sum >= maxSegment {
				return done + 1, nil
			}
		}
	}
	return len(out), nil
}

func (m *mapper[T, U]) Flush(context.Context, func([]U) error) error { return nil }

// Filter passes on the values for which keep returns true.
func Filter[T any](s Stream[T], keep func(T) bool) Stream[T] {
	st := Stage[T, T]{Name: "filter", Holds: int64(chunkLen[T]()) * slotSize[T](), Holders: -1}
	if keep == nil {
		st.Err = errNilFunc
	}
	st.Open = func(context.Context) (Transform[T, T], error) { return &filter[T]{keep: keep}, nil }
	return Via(s, st)
}

type filter[T any] struct {
	keep   func(T) bool
	out    []T
	clears bool
	pace   pace
}

func (f *filter[T]) follow(sp *spot) { f.pace.follow(sp) }

func (f *filter[T]) Do(ctx context.Context, in []T, emit func([]T) error) error {
	if f.out == nil {
		f.out, f.clears = make([]T, chunkLen[T]()), hasPointers[T]()
	}
	for len(in) > 0 {
		k, since := f.pace.next(min(len(in), len(f.out)))
		out, n := f.out[:k], 0
		for rest := in[:k]; len(rest) > 0; {
			if ctx.Err() != nil {
				return context.Cause(ctx)
			}
			some := rest[:min(f.pace.between(), len(rest))]
			n += sift(f.keep, some, out[n:])
			rest = rest[len(some):]
		}
		err := emit(out[:n])
		if f.clears {
			clear(out[:n])
		}
		if err != nil {
			return err
		}
		f.pace.took(k, since, n > 0)
		in = in[k:]
	}
	return nil
}

// sift copies the values of in that keep wants to out and returns how many those
// are.
func sift[T any](keep func(T) bool, in, out []T) (n int) {
	for _, v := range in {
		if keep(v) {
			out[n] = v
			n++
		}
	}
	return n
}

func (f *filter[T]) Flush(context.Context, func([]T) error) error { return nil }

// pace finds how many values to map before passing the results on: many if
// values are cheap, one if each takes long, so that results do not wait for one
// another.
type pace struct {
	n    int
	sp   *spot
	seen int // values so far, up to paceExact
	step int // see between
}

// paceExact is how many values at the start a stage checks its context before.
const paceExact = 4096

// paceBlind is how many nanoseconds a stage works on cheap values between two
// checks of its context.
const paceBlind = 500

// between returns after how many values to check the context again. That is 1,
// unless values are so cheap that a check, about 2 ns, would slow them down
// noticeably; then it is paceBlind nanoseconds of values.
func (p *pace) between() int { return max(1, p.step) }

const (
	paceLow  = int64(15 * time.Microsecond)
	paceHigh = int64(40 * time.Microsecond)
)

// follow lets p take its times from the clock of a lane, which is read anyway.
func (p *pace) follow(sp *spot) {
	p.sp = sp
	sp.emitsLast = true
}

// most returns how many of n values to work on now.
func (p *pace) most(n int) int { return max(1, min(p.n, n)) }

// next is most with the time that the stage has worked so far, for took.
func (p *pace) next(n int) (k int, since int64) { return p.most(n), p.sp.took() }

// took is called when n values have been worked on and passed on. If nothing
// was passed on, the clock of the lane has not moved yet.
func (p *pace) took(n int, since int64, emitted bool) {
	if !emitted {
		p.sp.ln.Enter(p.sp.busy)
	}
	p.adjust(n, p.sp.took()-since)
}

// adjust makes use of the time, in nanoseconds, that n values took.
func (p *pace) adjust(n int, d int64) {
	if p.seen < paceExact {
		p.seen += n
	} else {
		p.step = int(paceBlind * int64(n) / max(d, 1))
	}
	switch {
	case d > paceHigh:
		p.n = max(1, int(int64(n)*paceLow/max(d, 1)))
	case d < paceLow && n >= p.n:
		p.n = max(1, p.n) * 2
	}
}

// FlatMap turns each value into any number of values. Downstream sees the values
// that f passes to emit at once. emit waits while downstream is full, so a value
// that becomes a thousand values stays within the memory limit. f must return the
// error of emit.
func FlatMap[T, U any](s Stream[T], f func(ctx context.Context, v T, emit func(...U) error) error) Stream[U] {
	if f == nil {
		return failed[U]("flat map", errNilFunc, rootsOf(s))
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
