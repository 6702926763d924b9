package pipe

import (
	"context"
	"errors"
	"io"
	"math"

	"github.com/weir-go/weir/internal/clock"
)

// take moves up to len(dst) values into dst. mu is held.
func (p *Pipe[T]) take(dst []T) int {
	g := &p.g
	n := 0
	if g.fronts > 0 {
		n = copy(dst, p.front)
		p.dropFront(n)
	}
	for n < len(dst) && g.items > 0 {
		s := p.head
		k := copy(dst[n:], s.buf[s.r:s.w])
		p.drop(k)
		n += k
	}
	if n > 0 {
		g.taken = n
	}
	return n
}

// takeUpTo is take of no more than most bytes of charge, or of one value if
// that is charged more. It returns the charge of the values. mu is held.
func (p *Pipe[T]) takeUpTo(dst []T, most int64) (n int, charge int64) {
	g := &p.g
	if g.fronts > 0 && len(dst) > 0 {
		n = copy(dst[:min(int64(len(dst)), max(1, most/g.slot))], p.front)
		p.dropFront(n)
		charge = int64(n) * g.slot
	}
	for n < len(dst) && g.items > 0 {
		s := p.head
		k := g.within(&s.span, min(len(dst)-n, s.w-s.r), most-charge)
		if k == 0 && n == 0 {
			k = 1
		}
		if k == 0 {
			break
		}
		copy(dst[n:], s.buf[s.r:s.r+k])
		before := g.used()
		p.drop(k)
		charge += before - g.used()
		n += k
	}
	if n > 0 {
		g.taken = n
	}
	return n, charge
}

// dropFront takes out the first n values that were put back. mu is held.
func (p *Pipe[T]) dropFront(n int) {
	clear(p.front[:n])
	p.front = p.front[n:]
	p.g.fronts = len(p.front)
	if p.g.fronts == 0 {
		p.front = nil
	}
}

// drop takes the first n values of the head segment out. mu is held.
func (p *Pipe[T]) drop(n int) {
	if p.clears {
		s := p.head
		clear(s.buf[s.r : s.r+n])
	}
	if p.g.took(n) {
		p.recycle()
	}
}

// Recv waits for a value and takes it.
func (p *Pipe[T]) Recv(ctx context.Context) (T, error) {
	g := &p.g
	var one [1]T
	g.mu.Lock()
	if g.viewing || g.items == 0 || g.fronts > 0 {
		_, _, err := p.readLocked(ctx, nil, one[:])
		return one[0], err
	}
	s := p.head
	one[0] = s.buf[s.r]
	p.drop(1)
	g.taken = 1
	g.wakeWriter()
	g.unlock()
	return one[0], nil
}

// Read waits for at least one value and moves up to len(dst) into dst. first is
// the number of values that were read before them, so several readers of one
// pipe know the order of their values. A reader that shares its goroutine with
// others brings the clock of their lane; it may be nil.
func (p *Pipe[T]) Read(ctx context.Context, clk *clock.Clock, dst []T) (n int, first int64, err error) {
	p.g.mu.Lock()
	return p.readLocked(ctx, clk, dst)
}

// readLocked is Read for a caller that has locked mu; it unlocks it.
func (p *Pipe[T]) readLocked(ctx context.Context, clk *clock.Clock, dst []T) (n int, first int64, err error) {
	g := &p.g
	if g.items > 0 && !g.viewing {
		first = g.totalOut
		n = p.take(dst)
		g.wakeWriter()
		g.unlock()
		return n, first, nil
	}
	defer g.unlock()
	o := readOp{n: 1, most: len(dst)}
	defer g.endRead(&o)
	if err = g.awaitValue(ctx, clk, &o); err == nil && len(dst) > 0 {
		first = g.totalOut
		if n = p.take(dst); n == 0 {
			err = g.readError()
		}
	}
	return n, first, err
}

// NoMost means that a read has no limit on the charge of its values.
const NoMost = math.MaxInt64

// ReadUpTo is Read that takes no more than most bytes of charge, or one value
// if that is charged more. It returns the charge of the values it took.
func (p *Pipe[T]) ReadUpTo(ctx context.Context, clk *clock.Clock, dst []T, most int64) (n int, first, charge int64, err error) {
	g := &p.g
	g.mu.Lock()
	defer g.unlock()
	o := readOp{n: 1, most: len(dst)}
	defer g.endRead(&o)
	if err = g.awaitValue(ctx, clk, &o); err == nil && len(dst) > 0 {
		first = g.totalOut
		if n, charge = p.takeUpTo(dst, most); n == 0 {
			err = g.readError()
		}
	}
	return n, first, charge, err
}

// TryRead moves available values into dst without waiting, up to most bytes of
// charge. It returns ErrEmpty if there are none.
func (p *Pipe[T]) TryRead(dst []T, most int64) (int, error) {
	g := &p.g
	g.mu.Lock()
	defer g.unlock()
	if g.viewing {
		return 0, ErrEmpty
	}
	n, _ := p.takeUpTo(dst, most)
	if n == 0 && len(dst) > 0 {
		if err := g.readError(); err != nil {
			return 0, err
		}
		return 0, ErrEmpty
	}
	g.wakeWriter()
	return n, nil
}

// Acquire waits for data and hands out the first values as they lie in memory.
// The read turn is held until Release.
func (p *Pipe[T]) Acquire(ctx context.Context, clk *clock.Clock) ([]T, error) {
	g := &p.g
	g.mu.Lock()
	if g.r.taken || g.items == 0 || g.fronts > 0 || g.lossy {
		return p.acquireLocked(ctx, clk)
	}
	g.r.taken, g.viewing = true, true
	s := p.head
	view := s.buf[s.r:s.w:s.w]
	g.unlock()
	return view, nil
}

// acquireLocked is Acquire for a caller that has locked mu; it unlocks it.
func (p *Pipe[T]) acquireLocked(ctx context.Context, clk *clock.Clock) ([]T, error) {
	g := &p.g
	defer g.unlock()
	if err := g.awaitView(ctx, clk); err != nil {
		return nil, err
	}
	if g.lossy && g.fronts == 0 {
		front := make([]T, min(g.items, g.segLen))
		n, _ := p.takeUpTo(front, MaxSegment) // which the limit does not count
		p.front, g.fronts = front[:n], n
	}
	if g.fronts > 0 {
		return p.front, nil
	}
	s := p.head
	return s.buf[s.r:s.w:s.w], nil
}

// Release takes the first n values of the view out and gives the turn back.
func (p *Pipe[T]) Release(n int) error {
	p.g.mu.Lock()
	err := p.release(n)
	p.g.unlock()
	return err
}

// release is Release for a caller that has locked mu.
func (p *Pipe[T]) release(n int) error {
	g := &p.g
	gone, err := g.releases(n)
	if gone || err != nil {
		return err
	}
	if g.fronts > 0 {
		p.dropFront(n)
	} else if n > 0 {
		p.drop(n)
	}
	g.released(n)
	return nil
}

// Peek waits until len(dst) values are there, or the pipe can hold no more, or
// it has ended, and copies them without taking them.
func (p *Pipe[T]) Peek(ctx context.Context, dst []T) (int, error) {
	g := &p.g
	g.mu.Lock()
	defer g.unlock()
	o := readOp{n: len(dst), most: len(dst), view: true}
	defer g.endRead(&o)
	if err := g.awaitValue(ctx, nil, &o); err != nil {
		return 0, err
	}
	n := copy(dst, p.front)
	for s := p.head; s != nil && n < len(dst); s = s.next {
		n += copy(dst[n:], s.buf[s.r:s.w])
	}
	switch {
	case n == len(dst):
		return n, nil
	case g.readError() != nil:
		return n, g.readError()
	}
	return n, ErrFull
}

// Unread puts values back in front of everything else, at most as many as the last
// read took.
func (p *Pipe[T]) Unread(vs []T) error {
	g := &p.g
	g.mu.Lock()
	defer g.unlock()
	if g.rerr != nil {
		return ErrClosed
	}
	if len(vs) > g.taken || g.viewing {
		return ErrUnread
	}
	g.taken -= len(vs)
	front := make([]T, 0, len(vs)+len(p.front))
	p.front = append(append(front, vs...), p.front...)
	g.fronts = len(p.front)
	g.wakeReader()
	return nil
}

// CopyTo writes the bytes of p to w until the pipe ends. It calls moved with the
// count of each write. ours says that the error is the pipe's, not w's.
func CopyTo(ctx context.Context, clk *clock.Clock, p *Pipe[byte], w io.Writer, moved func(int)) (sum int64, ours bool, err error) {
	for {
		b, err := p.Acquire(ctx, clk)
		if err == io.EOF {
			return sum, true, nil
		}
		if err != nil {
			return sum, true, err
		}
		n, err := w.Write(b)
		switch {
		case n < 0 || n > len(b):
			n, err = 0, errBadWrite
		case n < len(b) && err == nil:
			err = io.ErrShortWrite
		}
		sum += int64(n)
		moved(n)
		p.Release(n)
		if err != nil {
			return sum, false, err
		}
	}
}

var errBadWrite = errors.New("Write returned an impossible count")
