package weir

import (
	"context"
	"runtime"
	"slices"
)

// side is one end of a pipe: who has its turn, and who waits.
type side struct {
	taken  bool            // somebody holds the turn across an unlock
	midway bool            // the owner of the turn has written a part of its batch
	passed int16           // batches that went ahead of the owner of the turn
	queue  []chan struct{} // goroutines that wait for the turn, first come first served
	spare  []chan struct{} // of earlier waits, empty
	parked bool            // the owner of the turn waits on park
	due    bool            // it is to be woken at the next unlock
	park   chan struct{}   // capacity 1, made when first needed
	ready  chan struct{}   // closed when a non-blocking call may succeed
	idle   int             // waits for which yielding first did not pay
	time   waitTime
}

// waitTime adds up how long goroutines have waited, including those that wait
// now.
type waitTime struct {
	n             int64
	total, change int64
	events        int64
}

func (w *waitTime) add(n int64, now int64) {
	w.total += w.n * (now - w.change)
	w.change = now
	if n > 0 {
		w.events++
	}
	w.n += n
}

func (w *waitTime) at(now int64) int64 { return w.total + w.n*max(0, now-w.change) }

// pass gives the turn to the goroutine that has waited longest. mu is held.
func (p *pipe[T]) pass(s *side) {
	s.midway, s.passed = false, 0
	if len(s.queue) == 0 {
		s.taken = false
	} else {
		next := s.queue[0]
		s.queue = slices.Delete(s.queue, 0, 1)
		next <- struct{}{} // capacity 1, and sent once for each wait
	}
	// Those who do not queue may have been refused because of the turn.
	if p.w.ready != nil && p.hasRoom() {
		p.w.signal()
	}
	if p.r.ready != nil && p.buffered() > 0 {
		p.r.signal()
	}
}

// wake is carried out by unlock: a goroutine that wakes on another core would
// find the pipe locked.
func (s *side) wake() {
	if s.parked {
		s.parked, s.due = false, true
	}
}

// unlock releases mu and wakes those that are to be woken.
func (p *pipe[T]) unlock() {
	if !p.r.due && !p.w.due {
		p.mu.Unlock()
		return
	}
	r, w := p.r.due, p.w.due
	p.r.due, p.w.due = false, false
	p.mu.Unlock()
	if r {
		p.r.token()
	}
	if w {
		p.w.token()
	}
}

// token wakes whoever is parked, or the next to park, who then looks again.
func (s *side) token() {
	select {
	case s.park <- struct{}{}:
	default:
	}
}

func (s *side) signal() {
	if s.ready != nil {
		close(s.ready)
		s.ready = nil
	}
}

// takeTurn waits for the turn of s and takes it. mu is held before and after.
func (p *pipe[T]) takeTurn(ctx context.Context, ln *lane, s *side) error {
	var ch chan struct{}
	if n := len(s.spare); n > 0 {
		ch, s.spare = s.spare[n-1], s.spare[:n-1]
	} else {
		ch = make(chan struct{}, 1)
	}
	s.queue = append(s.queue, ch)
	back := p.beginWait(ln, s)
	p.unlock()
	var err error
	select {
	case <-ch:
	case <-ctx.Done():
		err = context.Cause(ctx)
	}
	p.mu.Lock()
	p.endWait(ln, s, back)
	if err != nil {
		if i := slices.Index(s.queue, ch); i >= 0 {
			s.queue = slices.Delete(s.queue, i, i+1)
		} else {
			<-ch // the turn came at the same moment
			p.pass(s)
		}
	}
	s.spare = append(s.spare, ch)
	return err
}

func (p *pipe[T]) beginWait(ln *lane, s *side) int32 {
	t := now()
	s.time.add(1, t)
	if ln == nil {
		return 0
	}
	if s == &p.w {
		return ln.switchAt(ln.blocked(), t)
	}
	return ln.switchAt(ln.starved(), t)
}

func (p *pipe[T]) endWait(ln *lane, s *side, back int32) {
	t := now()
	s.time.add(-1, t)
	if ln != nil {
		ln.switchAt(back, t)
	}
}

// waitRoom waits until a value of the given cost fits or the pipe is closed.
// The caller holds mu and the write turn.
func (p *pipe[T]) waitRoom(ctx context.Context, ln *lane, cost int64) error {
	ok := func() bool { return p.room(cost) > 0 || p.rerr != nil || p.werr != nil }
	if ok() {
		return nil
	}
	p.need, p.stuck = cost, true
	p.wakeReader()
	if ln != nil && p.short {
		ln.short.since.Store(now())
		defer ln.short.end()
	}
	err := p.wait(ctx, ln, &p.w, ok)
	p.stuck = false
	return err
}

// waitData waits until n values are there, the pipe is full, or it is closed.
// In a rendezvous it asks the writers for most. The caller holds mu and the
// read turn.
func (p *pipe[T]) waitData(ctx context.Context, ln *lane, n, most int) error {
	ok := func() bool {
		return p.buffered() >= n || p.rerr != nil || p.werr != nil || p.items > 0 && p.stuck
	}
	if ok() {
		return nil
	}
	p.want = n
	if p.rendezvous {
		most = min(max(most, n), p.segLen)
		p.demand += most
		defer func() { p.demand -= most }()
		p.wakeWriter()
	}
	return p.wait(ctx, ln, &p.r, ok)
}

// ask tells the writers of a rendezvous that a reader waits for n more values,
// or no longer does if n is negative.
func (p *pipe[T]) ask(n int) {
	if !p.rendezvous {
		return
	}
	p.mu.Lock()
	p.demand += n
	p.wakeWriter()
	p.unlock()
}

// yields is how often a goroutine lets others run before it parks. Where two
// goroutines share a core that is all a hand-over takes; more of it makes
// everything slower.
const yields = 4

// wait parks until ok holds or ctx ends. mu is held before and after, and
// whenever ok is called. A lane's clock counts from the beginning; without a
// lane, the clock is read only when the goroutine parks.
func (p *pipe[T]) wait(ctx context.Context, ln *lane, s *side, ok func() bool) error {
	timed := ln != nil
	var back int32
	if timed {
		back = p.beginWait(ln, s)
	}
	if s.idle > 0 {
		s.idle--
	} else if p.yield(ok) {
		if timed {
			p.endWait(ln, s, back)
		}
		return nil
	} else {
		s.idle = 16
	}
	if !timed {
		p.beginWait(nil, s)
	}
	err := p.sleep(ctx, s, ok)
	p.endWait(ln, s, back)
	return err
}

// yield lets other goroutines run for a moment and reports whether ok holds.
func (p *pipe[T]) yield(ok func() bool) bool {
	for range yields {
		p.unlock()
		runtime.Gosched()
		p.mu.Lock()
		if ok() {
			return true
		}
	}
	return false
}

func (p *pipe[T]) sleep(ctx context.Context, s *side, ok func() bool) error {
	if s.park == nil {
		s.park = make(chan struct{}, 1)
	}
	for {
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		s.parked = true
		p.unlock()
		if done := ctx.Done(); done == nil {
			<-s.park
		} else {
			select {
			case <-s.park:
			case <-done:
			}
		}
		p.mu.Lock()
		s.parked = false
		if ok() {
			return nil
		}
	}
}

// wakeReader is called after values were added. mu is held.
func (p *pipe[T]) wakeReader() {
	if p.r.parked && (p.buffered() >= p.want || p.stuck) {
		p.r.wake()
	}
	if p.r.ready != nil && p.buffered() > 0 {
		p.r.signal()
	}
}

// wakeWriter is called after values were taken. mu is held.
func (p *pipe[T]) wakeWriter() {
	if p.w.parked && p.room(p.need) > 0 {
		p.w.wake()
	}
	if p.w.ready != nil && p.hasRoom() {
		p.w.signal()
	}
}

// hasRoom is what Ready promises: what was refused last would fit now.
func (p *pipe[T]) hasRoom() bool { return !p.turnHeld() && p.fits(p.tryLen, p.tryCost) }

// wakeAll lets everybody see that the pipe was closed. mu is held.
func (p *pipe[T]) wakeAll() {
	p.w.wake()
	p.r.wake()
	p.w.signal()
	p.r.signal()
}

var closedChan = func() chan struct{} { c := make(chan struct{}); close(c); return c }()

func (p *pipe[T]) writeReady() <-chan struct{} {
	p.mu.Lock()
	defer p.unlock()
	if p.writeError() != nil || p.hasRoom() {
		return closedChan
	}
	if p.w.ready == nil {
		p.w.ready = make(chan struct{})
	}
	return p.w.ready
}

func (p *pipe[T]) readReady() <-chan struct{} {
	p.mu.Lock()
	defer p.unlock()
	if p.readError() != nil || p.buffered() > 0 && !p.viewing {
		return closedChan
	}
	if p.r.ready == nil {
		p.r.ready = make(chan struct{})
	}
	return p.r.ready
}
