package pipe

import measure "github.com/weir-go/weir/internal/size"

// An operation on a pipe (a write, a reservation, a read, a view) is a sequence
// of steps. A step runs with mu held from beginning to end and never blocks. It
// says what the goroutine must do before the next step. [Pipe.drive] does that
// for goroutines; a test does it for every order in which steps can follow one
// another.
//
// The rules that keep turns sound:
//
//   - s.taken means that exactly one operation has owned set on side s, or that
//     the turn has been sent to one that is still in its queue channel.
//   - Only the owner of a turn parks, so the token in s.park has one receiver.
//   - A writer without the turn adds its whole batch in one step, or nothing.
//   - A step that changes the state for which another party waits wakes that party.

// next is the action of an operation's goroutine after a step.
type next int8

const (
	finished next = iota // nothing: the operation is over
	queued               // waits for the turn
	parked               // waits until another goroutine makes room or adds values
	away                 // works without mu (copies, or calls the size function)
)

// turn is an operation's claim to the turn of its side.
type turn struct {
	owned bool
	ch    chan struct{} // where the turn arrives; nil unless the operation is queued
	err   error         // why the operation failed
}

// enqueue puts t at the end of the queue for the turn of s. mu is held.
func (p *Pipe[T]) enqueue(s *side, t *turn) next {
	if n := len(s.spare); n > 0 {
		t.ch, s.spare = s.spare[n-1], s.spare[:n-1]
	} else {
		t.ch = make(chan struct{}, 1)
	}
	s.queue = append(s.queue, t.ch)
	p.rests(s)
	return queued
}

// giveUp takes t out of the queue. If the turn came at the same moment, t owns
// it and has to pass it on. mu is held.
func (p *Pipe[T]) giveUp(s *side, t *turn) {
	for i, ch := range s.queue {
		if ch == t.ch {
			s.queue = append(s.queue[:i], s.queue[i+1:]...)
			s.spare = append(s.spare, t.ch)
			t.ch = nil
			p.stirs(s)
			return
		}
	}
	<-t.ch
	s.arrived(t)
}

// pass gives the turn of s to the goroutine that has waited longest. mu is held.
func (p *Pipe[T]) pass(s *side) {
	s.midway, s.passed = false, 0
	if s == &p.w {
		p.stuck = false
	}
	if len(s.queue) == 0 {
		s.taken = false
	} else {
		ch := s.queue[0]
		copy(s.queue, s.queue[1:])
		s.queue[len(s.queue)-1] = nil
		s.queue = s.queue[:len(s.queue)-1]
		p.stirs(s)
		ch <- struct{}{} // has capacity 1, and gets one token for each time in the queue
	}
	// TryWrite and TryRead do not queue, but may have been refused because of
	// the turn.
	if p.w.ready != nil && p.hasRoom() {
		p.w.signal()
	}
	if p.r.ready != nil && p.buffered() > 0 {
		p.r.signal()
	}
}

// rests counts a goroutine that is about to wait at s, in the queue or parked.
// No goroutine waits without passing here. mu is held.
func (p *Pipe[T]) rests(s *side) {
	s.resting++
	if p.watcher != nil {
		p.watcher.Waits()
	}
}

// stirs undoes rests, when another goroutine makes the waiting one runnable or
// when it wakes by itself (its context has ended, or a budget has memory
// again). mu is held.
func (p *Pipe[T]) stirs(s *side) {
	s.resting--
	if p.watcher != nil {
		p.watcher.Woken()
	}
}

// writeOp is a write in progress, without its turn. Steps change only its
// numbers and keep no reference to its slices, so it stays on the writer's
// stack. The channel in turn would move it to the heap.
type writeOp[T any] struct {
	vs   []T // the batch
	n    int // how many of its values were added
	view []T // free slots that are being filled without mu

	// In a pipe with a size function: buf[at:to] are the running charges of the
	// next values of the batch.
	buf     []int64
	at, to  int
	largest int64
}

// rest returns the values that are still to be added.
func (o *writeOp[T]) rest() []T { return o.vs[o.n:] }

// charges returns the charges of the next values.
func (o *writeOp[T]) charges() charges {
	c := charges{sums: o.buf[o.at:o.to], largest: o.largest}
	if o.at > 0 {
		c.base = o.buf[o.at-1]
	}
	return c
}

// weighed records that the charges of the next values are in buf.
func (o *writeOp[T]) weighed(c charges) { o.at, o.to, o.largest = 0, len(c.sums), c.largest }

// wrote records that the next n values were added.
func (o *writeOp[T]) wrote(n int) {
	o.n += n
	if o.to > 0 {
		o.at += n
	}
}

// writeStep adds the values that there is room for. mu is held.
func (p *Pipe[T]) writeStep(o *writeOp[T], t *turn) next {
	p.quick = 0
	if t.owned {
		p.stuck = false
	}
	if o.view != nil {
		p.filled(o)
	}
	for {
		if t.err = p.writeError(); t.err != nil || o.n == len(o.vs) {
			return finished
		}
		if p.w.taken && !t.owned {
			if p.goAhead(o) {
				return finished
			}
			return p.enqueue(&p.w, t)
		}
		// This writer or no writer has the turn. No other writer can take it before
		// this step returns, and a writer that returns from here with a part of its
		// batch has taken it.
		c := o.charges()
		if p.large(len(o.vs) - o.n) {
			if o.view = p.handOut(len(o.vs) - o.n); o.view != nil {
				p.w.own(t)
				return away
			}
		} else if k := p.put(o.rest()[:p.known(o)], &c); k > 0 {
			o.wrote(k)
			continue
		}
		p.w.own(t)
		p.w.midway = o.n > 0
		if p.known(o) == 0 {
			return away
		}
		p.need, p.stuck = p.slot, true
		if p.size != nil {
			p.need = c.first()
		}
		p.wakeReader()
		return parked
	}
}

// known returns how many values of o can be added: of a pipe with a size
// function, those that are weighed.
func (p *Pipe[T]) known(o *writeOp[T]) int {
	if p.size != nil {
		return o.to - o.at
	}
	return len(o.vs) - o.n
}

// large reports whether n values are copied without mu. A pipe with a size
// function never has so many of them weighed at a time.
func (p *Pipe[T]) large(n int) bool { return p.size == nil && int64(n)*p.slot > smallCopy }

// handOut returns up to n free slots behind the last value, or nil if there is
// no room. The caller owns the write turn and calls took when they are filled.
// mu is held.
func (p *Pipe[T]) handOut(n int) []T {
	n = p.room(n, nil)
	if n == 0 {
		return nil
	}
	s := p.writable()
	n = min(n, len(s.buf)-s.w)
	p.reserved, p.quick = n, 0
	return s.buf[s.w : s.w+n : s.w+n]
}

// filled adds the slots that were filled without mu. mu is held.
func (p *Pipe[T]) filled(o *writeOp[T]) {
	n := len(o.view)
	o.view, p.reserved = nil, 0
	if p.rerr != nil || p.werr != nil {
		return // closed since Reserve: the memory is no longer the pipe's
	}
	p.tail.w += n
	p.added(n)
	p.wakeReader()
	o.wrote(n)
}

// endWrite is the last step of every write and passes the turn on. mu is held.
func (p *Pipe[T]) endWrite(t *turn) {
	if t.owned {
		t.owned = false
		p.pass(&p.w)
	}
	p.wakeReader()
	p.requick()
}

// reserveStep takes the turn and hands out up to n free slots in o.view. The
// turn stays with the caller until Commit. mu is held.
func (p *Pipe[T]) reserveStep(o *writeOp[T], t *turn, n int) next {
	if !t.owned {
		if p.w.taken {
			return p.enqueue(&p.w, t)
		}
		p.w.own(t)
	}
	p.stuck = false
	if t.err = p.writeError(); t.err != nil {
		return finished
	}
	if o.view = p.handOut(n); o.view != nil {
		return finished
	}
	p.need, p.stuck = p.slot, true
	p.wakeReader()
	return parked
}

// readOp is a read in progress.
type readOp struct {
	turn
	n     int  // how many values it waits for, if the pipe can hold as many
	most  int  // how many bytes it asks the writers of a rendezvous for
	view  bool // it needs the turn even if there are values
	asked int  // its share of the pipe's demand
}

// readStep finishes when there is something to read or the pipe has ended. mu
// is held.
func (p *Pipe[T]) readStep(o *readOp) next {
	if !o.owned {
		// A reader that finds values takes them, even past one that is about to
		// wake up for them. If it queued, it would wait for a goroutine that
		// does not run yet, and all others after it likewise.
		if p.r.taken && (o.view || p.viewing || p.buffered() == 0) {
			return p.enqueue(&p.r, &o.turn)
		}
		if o.view {
			p.r.own(&o.turn)
		}
	}
	if p.enough(o.n) || p.rerr != nil || p.werr != nil {
		return finished
	}
	p.r.own(&o.turn)
	p.want = o.n
	if p.rendezvous && o.asked == 0 {
		o.asked = p.asks(max(o.most, o.n))
		p.demand += o.asked
		p.wakeWriter()
	}
	return parked
}

// enough reports whether a reader that waits for n values has to wait no
// longer: they are there, or no more of them can come before it reads. mu is
// held.
func (p *Pipe[T]) enough(n int) bool {
	return p.buffered() >= n || p.items > 0 && (p.stuck || p.items >= max(p.capItems, p.demand))
}

// asks returns how many values a reader with room for n lets into a
// rendezvous: one, or a buffer of bytes.
func (p *Pipe[T]) asks(n int) int {
	if measure.IsByte[T]() {
		return min(max(n, 1), p.segLen)
	}
	return 1
}

// endRead is the last step of every read that does not hand out a view. It
// passes the turn on. mu is held.
func (p *Pipe[T]) endRead(o *readOp) {
	p.answered(o)
	if o.owned {
		o.owned = false
		p.pass(&p.r)
	}
	p.wakeWriter()
}

// answered takes back a reader's request to the writers of a rendezvous. mu is
// held.
func (p *Pipe[T]) answered(o *readOp) {
	p.demand -= o.asked
	o.asked = 0
}
