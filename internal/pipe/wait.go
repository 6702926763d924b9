package pipe

import (
	"context"
	"runtime"

	"github.com/weir-go/weir/internal/clock"
)

// side is one end of a pipe: its turn and its waiting goroutines.
type side struct {
	taken   bool            // somebody holds the turn across an unlock
	midway  bool            // the owner of the turn has written a part of its batch
	passed  int16           // batches that went ahead of the owner of the turn
	queue   []chan struct{} // goroutines that wait for the turn, first come first served
	spare   []chan struct{} // of earlier waits, empty
	parked  bool            // the owner of the turn waits on park
	due     bool            // unlock must wake it
	resting int             // goroutines in the queue or parked that nobody has woken yet
	park    chan struct{}   // capacity 1, made when first needed
	ready   chan struct{}   // closed when a non-blocking call may succeed
	idle    int             // waits for which yielding first did not pay
	time    waitTime
}

// own takes a turn that is free or is t's already. mu is held.
func (s *side) own(t *turn) { s.taken, t.owned = true, true }

// arrived records that the turn has come through t.ch. mu is held.
func (s *side) arrived(t *turn) {
	s.spare = append(s.spare, t.ch)
	t.ch, t.owned = nil, true
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

// wake makes the parked owner of the turn runnable. unlock sends the token: a
// goroutine that wakes on another core at once would find the pipe locked. mu
// is held.
func (p *Pipe[T]) wake(s *side) {
	if s.parked {
		s.parked, s.due = false, true
		p.stirs(s)
	}
}

// unlock releases mu and wakes those that are to be woken.
func (p *Pipe[T]) unlock() {
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

// token wakes the parked goroutine, or the next one to park, which then checks
// again.
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

// drive continues an operation with the action that its last step returned: it
// waits, and steps again, until the operation has finished, has failed because
// ctx has ended, or works without mu, which is up to the caller. mu is held
// before and after, and whenever step is called.
func (p *Pipe[T]) drive(ctx context.Context, clk *clock.Clock, s *side, t *turn, does next, step func() next) next {
	for t.err == nil {
		switch does {
		case queued:
			p.takeTurn(ctx, clk, s, t)
			if t.err == nil {
				does = step()
			}
		case parked:
			does = p.wait(ctx, clk, s, t, step)
		default:
			return does
		}
	}
	return finished
}

// takeTurn waits in the queue of s until the turn comes.
func (p *Pipe[T]) takeTurn(ctx context.Context, clk *clock.Clock, s *side, t *turn) {
	back := p.beginWait(clk, s)
	p.unlock()
	select {
	case <-t.ch:
		p.mu.Lock()
		s.arrived(t)
	case <-ctx.Done():
		p.mu.Lock()
		p.giveUp(s, t)
		t.err = context.Cause(ctx)
	}
	p.endWait(clk, s, back)
}

func (p *Pipe[T]) beginWait(clk *clock.Clock, s *side) int32 {
	t := clock.Now()
	if s == &p.w && s.time.n == 0 {
		p.spell.begin(t)
	}
	s.time.add(1, t)
	if clk == nil {
		return 0
	}
	if s == &p.w {
		return clk.Switch(clk.Blocked(), t)
	}
	return clk.Switch(clk.Starved(), t)
}

func (p *Pipe[T]) endWait(clk *clock.Clock, s *side, back int32) {
	t := clock.Now()
	if s.time.add(-1, t); s == &p.w && s.time.n == 0 {
		p.spell.pause(t)
	}
	if clk != nil {
		clk.Switch(back, t)
	}
}

// Ask tells the writers of a rendezvous that a reader waits for n more values,
// or no longer does if n is negative. See asks.
func (p *Pipe[T]) Ask(n int) {
	if !p.rendezvous || n == 0 {
		return
	}
	p.mu.Lock()
	if n > 0 {
		p.demand += p.asks(n)
	} else {
		p.demand -= p.asks(-n)
	}
	p.wakeWriter()
	p.unlock()
}

// yields is how often a goroutine lets others run before it parks. Where two
// goroutines share a core that is all a hand-over takes; more of it makes
// everything slower.
const yields = 4

// wait parks until step says something else, or ctx ends. A clock counts from
// the beginning. Without one, the time is read only when the goroutine parks.
func (p *Pipe[T]) wait(ctx context.Context, clk *clock.Clock, s *side, t *turn, step func() next) next {
	timed := clk != nil
	var back int32
	if timed {
		back = p.beginWait(clk, s)
		if s == &p.w && p.short {
			clk.Short().Begin()
			defer clk.Short().End()
		}
	}
	if s.idle > 0 {
		s.idle--
	} else if does := p.yield(step); does != parked {
		if timed {
			p.endWait(clk, s, back)
		}
		return does
	} else {
		s.idle = 16
	}
	if !timed {
		p.beginWait(nil, s)
	}
	does := p.sleep(ctx, s, t, step)
	p.endWait(clk, s, back)
	return does
}

// yield lets other goroutines run for a moment, and steps.
func (p *Pipe[T]) yield(step func() next) next {
	for range yields {
		p.unlock()
		runtime.Gosched()
		p.mu.Lock()
		if does := step(); does != parked {
			return does
		}
	}
	return parked
}

func (p *Pipe[T]) sleep(ctx context.Context, s *side, t *turn, step func() next) next {
	if s.park == nil {
		s.park = make(chan struct{}, 1)
	}
	for {
		if ctx.Err() != nil {
			t.err = context.Cause(ctx)
			return finished
		}
		p.parks(s)
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
		p.unparks(s)
		if does := step(); does != parked {
			return does
		}
	}
}

// parks says that the owner of the turn is about to wait for a token. mu is
// held.
func (p *Pipe[T]) parks(s *side) {
	s.parked = true
	p.rests(s)
}

// unparks says that it waits no longer. If wake has not said so, it has woken
// for another reason than the pipe: its context, a budget that has memory
// again, or a token that was left from an earlier wait. mu is held.
func (p *Pipe[T]) unparks(s *side) {
	if s.parked {
		s.parked = false
		p.stirs(s)
	}
}

// wakeReader is called after values were added. mu is held.
func (p *Pipe[T]) wakeReader() {
	if p.r.parked && p.enough(p.want) {
		p.wake(&p.r)
	}
	if p.r.ready != nil && p.buffered() > 0 {
		p.r.signal()
	}
}

// wakeWriter is called after values were taken. mu is held.
func (p *Pipe[T]) wakeWriter() {
	if p.w.parked && p.fits(1, p.need) {
		p.wake(&p.w)
	}
	if p.w.ready != nil && p.hasRoom() {
		p.w.signal()
	}
}

// hasRoom reports whether the values that were refused last would fit now, as
// Ready promises.
func (p *Pipe[T]) hasRoom() bool { return !p.turnHeld() && p.fits(p.tryLen, p.tryCost) }

// wakeAll lets everybody see that the pipe was closed. mu is held.
func (p *Pipe[T]) wakeAll() {
	p.wake(&p.w)
	p.wake(&p.r)
	p.w.signal()
	p.r.signal()
}

var closedChan = func() chan struct{} { c := make(chan struct{}); close(c); return c }()

// WriteReady returns a channel that is closed when the values that TryWrite last
// refused would fit, or the pipe was closed.
func (p *Pipe[T]) WriteReady() <-chan struct{} {
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

// ReadReady returns a channel that is closed when a value can be taken or the pipe
// has ended.
func (p *Pipe[T]) ReadReady() <-chan struct{} {
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
