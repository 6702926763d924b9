package weir

import (
	"context"
	"errors"
)

// reserve waits for room and hands out up to n free slots. The write turn is
// held until commit.
func (p *pipe[T]) reserve(ctx context.Context, ln *lane, n int) ([]T, error) {
	if p.size != nil {
		return nil, errors.ErrUnsupported
	}
	n = max(n, 1)
	p.mu.Lock()
	if !p.w.taken && p.writeError() == nil {
		if view := p.handOut(n); view != nil {
			p.w.taken = true
			p.unlock()
			return view, nil
		}
	}
	return p.reserveLocked(ctx, ln, n)
}

// reserveLocked is reserve for a caller that has locked mu; it unlocks it.
func (p *pipe[T]) reserveLocked(ctx context.Context, ln *lane, n int) ([]T, error) {
	defer p.unlock()
	var o writeOp[T]
	var t turn
	if does := p.reserveStep(&o, &t, n); does != finished {
		p.drive(ctx, ln, &p.w, &t, does, func() next { return p.reserveStep(&o, &t, n) })
	}
	if t.err != nil && t.owned {
		p.pass(&p.w)
	}
	return o.view, t.err
}

// commit publishes the first n reserved slots and gives the turn back.
func (p *pipe[T]) commit(n int) error {
	p.mu.Lock()
	defer p.unlock()
	return p.commitLocked(n)
}

func (p *pipe[T]) commitLocked(n int) error {
	if n < 0 || n > p.reserved {
		return errCommit
	}
	p.reserved = 0
	err := p.writeError()
	if err == nil && n > 0 {
		p.tail.w += n
		p.added(n)
	}
	if s := p.tail; s != nil && s == p.head && s.r == s.w {
		s.r, s.w = 0, 0
	}
	p.pass(&p.w)
	p.wakeReader()
	return err
}

// acquire waits for data and hands out the first values as they lie in memory.
// The read turn is held until release.
func (p *pipe[T]) acquire(ctx context.Context, ln *lane) ([]T, error) {
	p.mu.Lock()
	if !p.r.taken && p.items > 0 && p.front == nil && !p.lossy {
		p.r.taken, p.viewing = true, true
		s := p.head
		view := s.buf[s.r:s.w:s.w]
		p.unlock()
		return view, nil
	}
	return p.acquireLocked(ctx, ln)
}

// acquireLocked is acquire for a caller that has locked mu; it unlocks it.
func (p *pipe[T]) acquireLocked(ctx context.Context, ln *lane) ([]T, error) {
	defer p.unlock()
	o := readOp{n: 1, most: p.segLen, view: true}
	if does := p.readStep(&o); does != finished {
		p.drive(ctx, ln, &p.r, &o.turn, does, func() next { return p.readStep(&o) })
		p.answered(&o)
		if o.err != nil {
			p.endRead(&o)
			return nil, o.err
		}
	}
	if p.lossy && len(p.front) == 0 && p.items > 0 && p.rerr == nil {
		front := make([]T, min(p.items, p.segLen))
		n, _ := p.takeUpTo(front, maxSegment) // which the limit does not count
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

// release takes the first n values of the view out and gives the turn back.
func (p *pipe[T]) release(n int) error {
	p.mu.Lock()
	defer p.unlock()
	return p.releaseLocked(n)
}

func (p *pipe[T]) releaseLocked(n int) error {
	if !p.viewing || n < 0 {
		return errRelease
	}
	if p.rerr != nil { // closed meanwhile: the memory is gone already
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

// peek waits until len(dst) values are there, or the pipe can hold no more, or
// it has ended, and copies them without taking them.
func (p *pipe[T]) peek(ctx context.Context, dst []T) (int, error) {
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

func (p *pipe[T]) unread(vs []T) error {
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
