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
	n := 0
	if len(p.front) > 0 {
		n = p.takeFront(dst)
	}
	for n < len(dst) && p.items > 0 {
		s := p.head
		k := copy(dst[n:], s.buf[s.r:s.w])
		p.drop(k)
		n += k
	}
	if n > 0 {
		p.taken = n
	}
	return n
}

// takeUpTo is take of no more than most bytes of charge, or of one value if
// that is charged more. It returns the charge of the values. mu is held.
func (p *Pipe[T]) takeUpTo(dst []T, most int64) (n int, charge int64) {
	if len(p.front) > 0 && len(dst) > 0 {
		n = p.takeFront(dst[:min(int64(len(dst)), max(1, most/p.slot))])
		charge = int64(n) * p.slot
	}
	for n < len(dst) && p.items > 0 {
		s := p.head
		k := p.within(s, min(len(dst)-n, s.w-s.r), most-charge)
		if k == 0 && n == 0 {
			k = 1
		}
		if k == 0 {
			break
		}
		copy(dst[n:], s.buf[s.r:s.r+k])
		before := p.used()
		p.drop(k)
		charge += before - p.used()
		n += k
	}
	if n > 0 {
		p.taken = n
	}
	return n, charge
}

// within returns how many of the first k values of the head segment are charged
// at most most together. mu is held.
func (p *Pipe[T]) within(s *segment[T], k int, most int64) int {
	if p.size == nil {
		return max(0, int(min(int64(k), most/p.slot)))
	}
	c := charges{sums: s.sums[s.r : s.r+k], base: p.chargeOut}
	return c.within(k, most)
}

func (p *Pipe[T]) takeFront(dst []T) int {
	n := copy(dst, p.front)
	clear(p.front[:n])
	p.front = p.front[n:]
	if len(p.front) == 0 {
		p.front = nil
	}
	return n
}

// drop takes the first n values of the head segment out. mu is held.
func (p *Pipe[T]) drop(n int) {
	p.peak = max(p.peak, p.fill()) // between two drops, the fill only grows
	s := p.head
	if p.size != nil {
		p.chargeOut = s.sums[s.r+n-1]
	}
	if p.clears {
		clear(s.buf[s.r : s.r+n])
	}
	s.r += n
	p.items -= n
	p.totalOut += int64(n)
	if s.r == s.w {
		switch {
		case s != p.tail || s.w == len(s.buf):
			p.recycle()
		case p.reserved == 0:
			s.r, s.w = 0, 0
		}
	}
	if p.share != nil && p.share.trim(p.used()) {
		p.quick = 0 // it may have been granted by the bytes that were given back
	}
}

// Recv waits for a value and takes it.
func (p *Pipe[T]) Recv(ctx context.Context) (T, error) {
	var one [1]T
	p.mu.Lock()
	if p.viewing || p.items == 0 || p.front != nil {
		_, _, err := p.readLocked(ctx, nil, one[:])
		return one[0], err
	}
	s := p.head
	one[0] = s.buf[s.r]
	p.drop(1)
	p.taken = 1
	p.wakeWriter()
	p.unlock()
	return one[0], nil
}

// Read waits for at least one value and moves up to len(dst) into dst. first is
// the number of values that were read before them, so several readers of one
// pipe know the order of their values. A reader that shares its goroutine with
// others brings the clock of their lane; it may be nil.
func (p *Pipe[T]) Read(ctx context.Context, clk *clock.Clock, dst []T) (n int, first int64, err error) {
	p.mu.Lock()
	return p.readLocked(ctx, clk, dst)
}

// readLocked is Read for a caller that has locked mu; it unlocks it.
func (p *Pipe[T]) readLocked(ctx context.Context, clk *clock.Clock, dst []T) (n int, first int64, err error) {
	if p.items > 0 && !p.viewing {
		first = p.totalOut
		n = p.take(dst)
		p.wakeWriter()
		p.unlock()
		return n, first, nil
	}
	defer p.unlock()
	o := readOp{n: 1, most: len(dst)}
	defer p.endRead(&o)
	if err = p.awaitValue(ctx, clk, &o); err == nil && len(dst) > 0 {
		first = p.totalOut
		if n = p.take(dst); n == 0 {
			err = p.readError()
		}
	}
	return n, first, err
}

// NoMost means that a read has no limit on the charge of its values.
const NoMost = math.MaxInt64

// ReadUpTo is Read that takes no more than most bytes of charge, or one value
// if that is charged more. It returns the charge of the values it took.
func (p *Pipe[T]) ReadUpTo(ctx context.Context, clk *clock.Clock, dst []T, most int64) (n int, first, charge int64, err error) {
	p.mu.Lock()
	defer p.unlock()
	o := readOp{n: 1, most: len(dst)}
	defer p.endRead(&o)
	if err = p.awaitValue(ctx, clk, &o); err == nil && len(dst) > 0 {
		first = p.totalOut
		if n, charge = p.takeUpTo(dst, most); n == 0 {
			err = p.readError()
		}
	}
	return n, first, charge, err
}

// awaitValue waits until there is a value, or the pipe has ended. It returns an
// error only if ctx has ended first. mu is held before and after.
func (p *Pipe[T]) awaitValue(ctx context.Context, clk *clock.Clock, o *readOp) error {
	if does := p.readStep(o); does != finished {
		p.drive(ctx, clk, &p.r, &o.turn, does, func() next { return p.readStep(o) })
	}
	return o.err
}

// TryRead moves available values into dst without waiting, up to most bytes of
// charge. It returns ErrEmpty if there are none.
func (p *Pipe[T]) TryRead(dst []T, most int64) (int, error) {
	p.mu.Lock()
	defer p.unlock()
	if p.viewing {
		return 0, ErrEmpty
	}
	n, _ := p.takeUpTo(dst, most)
	if n == 0 && len(dst) > 0 {
		if err := p.readError(); err != nil {
			return 0, err
		}
		return 0, ErrEmpty
	}
	p.wakeWriter()
	return n, nil
}

// Acquire waits for data and hands out the first values as they lie in memory.
// The read turn is held until Release.
func (p *Pipe[T]) Acquire(ctx context.Context, clk *clock.Clock) ([]T, error) {
	p.mu.Lock()
	if !p.r.taken && p.items > 0 && p.front == nil && !p.lossy {
		p.r.taken, p.viewing = true, true
		s := p.head
		view := s.buf[s.r:s.w:s.w]
		p.unlock()
		return view, nil
	}
	return p.acquireLocked(ctx, clk)
}

// acquireLocked is Acquire for a caller that has locked mu; it unlocks it.
func (p *Pipe[T]) acquireLocked(ctx context.Context, clk *clock.Clock) ([]T, error) {
	defer p.unlock()
	o := readOp{n: 1, most: p.segLen, view: true}
	if does := p.readStep(&o); does != finished {
		p.drive(ctx, clk, &p.r, &o.turn, does, func() next { return p.readStep(&o) })
		p.answered(&o)
		if o.err != nil {
			p.endRead(&o)
			return nil, o.err
		}
	}
	if p.lossy && len(p.front) == 0 && p.items > 0 && p.rerr == nil {
		front := make([]T, min(p.items, p.segLen))
		n, _ := p.takeUpTo(front, MaxSegment) // which the limit does not count
		p.front = front[:n]
	}
	if len(p.front) > 0 {
		p.viewing = true
		return p.front, nil
	}
	if p.items == 0 || p.rerr != nil {
		err := p.readError()
		p.pass(&p.r)
		return nil, err
	}
	p.viewing = true
	s := p.head
	return s.buf[s.r:s.w:s.w], nil
}

// Release takes the first n values of the view out and gives the turn back.
func (p *Pipe[T]) Release(n int) error {
	p.mu.Lock()
	defer p.unlock()
	return p.releaseLocked(n)
}

func (p *Pipe[T]) releaseLocked(n int) error {
	if !p.viewing || n < 0 {
		return errRelease
	}
	if p.rerr != nil { // closed since Acquire: the memory is gone already
		p.viewing = false
		p.pass(&p.r)
		return nil
	}
	view := len(p.front)
	if view == 0 {
		view = p.head.w - p.head.r
	}
	if n > view {
		return errRelease
	}
	p.viewing = false
	if n > 0 {
		if len(p.front) > 0 {
			clear(p.front[:n])
			if p.front = p.front[n:]; len(p.front) == 0 {
				p.front = nil
			}
		} else {
			p.drop(n)
		}
		p.taken = n
	}
	p.pass(&p.r)
	p.wakeWriter()
	return nil
}

// Peek waits until len(dst) values are there, or the pipe can hold no more, or
// it has ended, and copies them without taking them.
func (p *Pipe[T]) Peek(ctx context.Context, dst []T) (int, error) {
	p.mu.Lock()
	defer p.unlock()
	o := readOp{n: len(dst), most: len(dst), view: true}
	defer p.endRead(&o)
	if does := p.readStep(&o); does != finished {
		p.drive(ctx, nil, &p.r, &o.turn, does, func() next { return p.readStep(&o) })
	}
	if o.err != nil {
		return 0, o.err
	}
	n := copy(dst, p.front)
	for s := p.head; s != nil && n < len(dst); s = s.next {
		n += copy(dst[n:], s.buf[s.r:s.w])
	}
	switch {
	case n == len(dst):
		return n, nil
	case p.readError() != nil:
		return n, p.readError()
	}
	return n, ErrFull
}

// Unread puts values back in front of everything else, at most as many as the last
// read took.
func (p *Pipe[T]) Unread(vs []T) error {
	p.mu.Lock()
	defer p.unlock()
	if p.rerr != nil {
		return ErrClosed
	}
	if len(vs) > p.taken || p.viewing {
		return ErrUnread
	}
	p.taken -= len(vs)
	front := make([]T, 0, len(vs)+len(p.front))
	p.front = append(append(front, vs...), p.front...)
	p.wakeReader()
	return nil
}

// CopyTo writes the bytes of the pipe to w until the pipe ends. It calls moved
// with the count of each write. ours says that the error is the pipe's, not
// w's.
func (p *Pipe[T]) CopyTo(ctx context.Context, clk *clock.Clock, w io.Writer, moved func(int)) (sum int64, ours bool, err error) {
	for {
		view, err := p.Acquire(ctx, clk)
		if err == io.EOF {
			return sum, true, nil
		}
		if err != nil {
			return sum, true, err
		}
		b := any(view).([]byte)
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
