package pipe

import (
	"context"
	"io"
	"math"
	"runtime"
	"sync"
	"time"

	"github.com/weir-go/weir/internal/clock"
)

// Stats describes the values that went through a pipe, and the waits of its
// readers and writers, including running waits.
type Stats struct {
	Limit       Limit         // on its contents
	Items       int64         // values held now
	Bytes       int64         // charge held now, in bytes
	Peak        int64         // most bytes ever held
	Largest     int64         // charge of the largest single value that was written, in bytes
	In, Out     int64         // values written and read
	Blocked     time.Duration // time writers waited for room, added up over writers
	BlockedN    int64         // how often a writer had to wait
	Spells      Spells        // how long writers were blocked at a stretch
	Starved     time.Duration // time readers waited for values, added up over readers
	Dropped     int64         // values a policy dropped
	LimitBytes  int64         // its limit in bytes; 0: it counts values that are not all of one size
	LimitItems  int64         // its limit in values; 0: none
	WaitingSend int           // writers that wait now
	Closed      bool          // no more values can be written
}

// Gate is the part of a pipe that does not depend on the type of its values: it
// decides who may write and read, how much, and who waits, and it counts. The
// [Pipe] around it has the memory, and copies. A program has a Pipe for each type
// of value, and the compiler makes all methods of Pipe again for each of them;
// those of Gate it makes once.
//
// Everything is guarded by mu, which is held for a few instructions and while values
// are copied, never while a caller's code runs or a goroutine waits. A Write copies
// more than smallCopy bytes without mu. A longer operation (a write that has to wait
// for room, a view of the memory) holds its side's turn instead, so that several
// writers do not mix their batches and a view has one owner.
type Gate struct {
	mu sync.Mutex

	items       int   // values waiting in the segments
	quick       int   // values for which last has room, whatever else may be; see requick
	quickCharge int64 // with a size function: and as long as they are charged no more
	fronts      int   // values put back by Unread, before everything else; not charged
	taken       int   // how many values Unread may put back

	// With a size function: the charge of all values that ever came in and went
	// out, and of the largest.
	chargeIn, chargeOut, largest int64

	first, last *span // of the pipe's segments; nil: there are none
	slot        int64
	totalOut    int64
	peak        int64
	share       *share
	capItems    int
	capBytes    int64 // only with a size function
	low         int64 // after being full, there is room again at this fill; -1: at once
	pressed     bool  // was full and has not come down to low
	measures    bool  // the pipe has a size function
	bytes       bool  // values are bytes
	rendezvous  bool
	lossy       bool // the oldest values may be dropped: views are copies
	viewing     bool // a view of first is handed out
	stuck       bool // a writer waits for room
	short       bool // the last refusal of room was the budget's, not the limit's

	w, r     side
	reserved int   // slots handed out by Reserve, at the end of last
	demand   int   // values that waiting readers asked for
	need     int64 // charge of the value that a waiting writer holds
	want     int   // values that a waiting reader needs
	werr     error // the write side was closed: io.EOF or a cause
	rerr     error // the read side was closed
	segLen   int
	tryLen   int // the need of the TryWrite that was refused last
	tryCost  int64
	watcher  Watcher // of the run that both halves belong to; nil: not known

	dropped  int64
	lost     int64 // values that came in and were not read: overwritten, or left at the end
	limit    Limit
	maxValue int64       // of the flow; 0: none
	onHangup func(error) // called once, without mu, when the reader goes
	free     func()      // drops all memory of the pipe; called with mu held
	name     string      // see Config
	spell    spell       // of writers that wait for room
}

// smallCopy is how many bytes may be copied while mu is held; larger copies
// take the turn and are made outside.
const smallCopy = 1 << 10

// init gives a new gate its limits. The pipe's values take slot bytes each.
// measured says that there is a function for the further bytes to which they
// refer, and weighs that it is needed for the sake of a budget; see g.measures for
// whether the pipe uses it.
func (g *Gate) init(l Limit, slot, low int64, measured, weighs bool) {
	g.limit, g.slot = l, slot
	g.low, g.tryLen, g.tryCost = -1, 1, slot
	if low > 0 {
		g.low = low
	}
	const unbounded = 1 << 62
	n := int64(unbounded)
	if l.HasItems {
		n = l.Items
	}
	switch {
	case l.HasBytes && measured:
		g.measures, g.capBytes = true, l.Bytes
		n = min(n, l.Bytes)
	case l.HasBytes:
		n = min(n, max(l.Bytes/slot, min(l.Bytes, 1)))
		if g.low >= 0 {
			g.low /= slot
		}
	case measured && weighs:
		g.measures, g.capBytes = true, unbounded
	}
	g.rendezvous = n == 0
	g.capItems = int(min(n, 1<<40, math.MaxInt))
	g.segLen = segmentLen(g.capItems, slot, g.measures)
}

// fill returns the charge in the unit that the limit is kept in.
func (g *Gate) fill() int64 {
	if g.measures {
		return g.chargeIn - g.chargeOut
	}
	return int64(g.items)
}

// used returns the charge in bytes.
func (g *Gate) used() int64 {
	if g.measures {
		return g.chargeIn - g.chargeOut
	}
	return int64(g.items) * g.slot
}

// writeError returns why nothing more can be written, or nil. mu is held.
func (g *Gate) writeError() error {
	if g.rerr != nil {
		return g.rerr
	}
	if g.werr != nil {
		return ErrClosed
	}
	return nil
}

// readError returns why nothing more will come, or nil. mu is held.
func (g *Gate) readError() error {
	if g.rerr != nil {
		return ErrClosed
	}
	return g.werr
}

func (g *Gate) buffered() int { return g.items + g.fronts }

// CloseWrite ends the pipe after the values that it holds. Only the first call
// counts.
func (g *Gate) CloseWrite(cause error) {
	if cause == nil {
		cause = io.EOF
	}
	g.mu.Lock()
	if g.werr == nil {
		g.werr = cause
	}
	g.quick = 0
	g.wakeAll()
	g.unlock()
}

// CloseRead drops the values in the pipe; writers get cause from now on.
func (g *Gate) CloseRead(cause error) {
	if cause == nil {
		cause = ErrClosed
	}
	g.mu.Lock()
	first := g.rerr == nil
	g.quick = 0
	if first {
		g.rerr = cause
		g.peak = max(g.peak, g.fill())
		g.free()
		g.first, g.last, g.fronts = nil, nil, 0
		g.lost += int64(g.items)
		g.items, g.chargeOut = 0, g.chargeIn
		if g.share != nil {
			g.share.close()
		}
	}
	hangup := g.onHangup
	g.wakeAll()
	g.unlock()
	if first && hangup != nil {
		hangup(cause)
	}
}

// Stats returns the pipe's counts at this moment.
func (g *Gate) Stats() Stats {
	t := clock.Now()
	g.mu.Lock()
	defer g.unlock()
	s := Stats{
		Limit: g.limit, Items: int64(g.buffered()), Bytes: g.used(), Peak: max(g.peak, g.fill()),
		In: g.totalOut + int64(g.items) + g.lost, Out: g.totalOut, Dropped: g.dropped,
		Blocked: time.Duration(g.w.time.at(t)), BlockedN: g.w.time.events,
		Starved: time.Duration(g.r.time.at(t)), WaitingSend: int(g.w.time.n),
		Spells: g.spell.until(t, g.werr != nil || g.rerr != nil), Closed: g.werr != nil || g.rerr != nil,
	}
	if g.limit.HasBytes {
		s.LimitBytes = g.capBytes
	}
	if g.limit.HasItems {
		s.LimitItems = g.limit.Items
	}
	s.Largest = g.largest
	if !g.measures {
		if s.In > 0 {
			s.Largest = g.slot
		}
		s.Peak *= g.slot
		s.LimitBytes = int64(g.capItems) * g.slot
	}
	return s
}

// Name returns the pipe's name.
func (g *Gate) Name() string { return g.name }

// Cap returns the most values that the pipe may hold.
func (g *Gate) Cap() int { return g.capItems }

// Measures reports whether the pipe measures its values, which may then be of any
// size. If it does not, they are all of one size.
func (g *Gate) Measures() bool { return g.measures }

// DropsOldest says that the oldest values may be dropped. It is called before the
// pipe is used.
func (g *Gate) DropsOldest() { g.lossy = true }

// OnHangup makes the pipe call f once, with the cause, when its reader closes. It
// is called before the pipe is used.
func (g *Gate) OnHangup(f func(cause error)) { g.onHangup = f }

// Closed reports whether either side has closed the pipe.
func (g *Gate) Closed() bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.rerr != nil || g.werr != nil
}

// WatchedBy makes the pipe report waiting goroutines to w. Goroutines that wait
// already count from now on, because they will be reported as woken.
func (g *Gate) WatchedBy(w Watcher) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.watcher = w
	for range g.r.resting + g.w.resting {
		w.Waits()
	}
}

// Resting returns how many goroutines wait to read and to write.
func (g *Gate) Resting() (read, write int) {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.r.resting, g.w.resting
}

// Passing reports whether somebody waits although there is something to read or
// room to write: another goroutine has the turn, has been woken for it, and has
// not run yet.
func (g *Gate) Passing() bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.r.resting > 0 && g.buffered() > 0 || g.w.resting > 0 && g.hasRoom()
}

// Stirring reports whether a goroutine that counts as waiting has a token that it
// has not received yet: a budget has memory again.
func (g *Gate) Stirring() bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.r.parked && len(g.r.park) > 0 || g.w.parked && len(g.w.park) > 0
}

// Ceiling returns the most memory the pipe can take, except for the values that
// Holders counts: its limit, and the unused parts of the first and the last
// segment.
func (g *Gate) Ceiling() int64 {
	seg, n := int64(g.segLen)*g.slot, int64(g.capItems)
	var view int64 // of a lossy pipe: a copy
	if g.lossy {
		view = seg
	}
	if g.measures {
		seg += int64(g.segLen) * SumSize
		if g.lossy {
			view += MaxSegment
		}
	}
	switch {
	case g.measures && g.limit.HasBytes:
		return g.capBytes + min(n, g.capBytes/g.slot)*SumSize + 2*seg + view
	case g.rendezvous:
		return seg + view
	}
	return ((n+int64(g.segLen)-1)/int64(g.segLen)+1)*seg + view
}

// Holders returns how many values the pipe may hold beyond its ceiling: one that
// is larger than its limit, or all of them if the limit does not count bytes. Each
// is charged at most most; 0: anything.
func (g *Gate) Holders() (values int, most int64) {
	if !g.measures {
		return 0, 0
	}
	values = 1
	if !g.limit.HasBytes {
		values = max(values, g.capItems)
	}
	if g.lossy {
		values++
	}
	return values, g.maxValue
}

// room returns how many of the next most values may be added now; c are their
// charges in a pipe with a size function. mu is held.
func (g *Gate) room(most int, c *charges) int {
	n := g.capItems
	if g.rendezvous {
		n = g.demand
	} else if !g.drained() {
		return 0
	}
	n = min(n-g.items, most)
	if g.measures && n > 0 && !g.rendezvous {
		n = c.within(n, g.capBytes-g.used())
		if n == 0 && g.items == 0 {
			n = 1 // larger than the limit: it passes alone
		}
	}
	g.short = false
	if n <= 0 {
		g.pressed = true
		return 0
	}
	if g.share != nil {
		n = g.afford(n, c)
		g.short = n == 0
	}
	return n
}

// drained reports whether the pipe is down to its low-water mark, or has not
// been full since it was. mu is held.
func (g *Gate) drained() bool {
	if g.low >= 0 && g.pressed {
		if g.fill() > g.low {
			return false
		}
		g.pressed = false
	}
	return true
}

// afford returns how many of the next n values the budget allows. An empty pipe
// may always take one, see added. mu is held.
func (g *Gate) afford(n int, c *charges) int {
	used := g.used()
	if !g.measures {
		n = min(n, g.segLen)
		free := g.share.grant(used+g.slot, used+int64(n)*g.slot) - used
		n = min(n, int(free/g.slot))
	} else {
		n = c.within(n, g.share.grant(used+c.first(), used+c.sum(n))-used)
	}
	if n <= 0 && g.items == 0 {
		return 1
	}
	return max(n, 0)
}

// fits reports whether n values with a charge of so many bytes in all may be
// added now. mu is held.
func (g *Gate) fits(n int, charge int64) bool {
	switch {
	case g.rendezvous:
		if g.items+n > g.demand {
			return false
		}
	case g.low >= 0 && g.pressed && g.fill() > g.low:
		return false
	}
	if g.items == 0 && n == 1 {
		return true
	}
	used := g.used() + charge
	if !g.rendezvous && (g.items+n > g.capItems || g.measures && used > g.capBytes) {
		return false
	}
	return g.share == nil || g.share.grant(used, used) >= used
}

// charge returns the charge of n values; c are their charges in a pipe with a size
// function.
func (g *Gate) charge(n int, c *charges) int64 {
	if g.measures {
		return c.sum(n)
	}
	return int64(n) * g.slot
}

// mostPassed is how many batches may go ahead of a writer that has its turn.
const mostPassed = 64

// turnHeld reports whether a writer has to wait for its turn although there is
// room: the memory behind the last value is handed out, the owner of the turn
// has written a part of its batch, or enough others have gone ahead of it. If
// writers always queued, handing the turn to a goroutine that does not run yet
// would make all others wait for it, one after the other, without end. If they
// never did, one that waits might never find room. mu is held.
func (g *Gate) turnHeld() bool {
	return g.w.taken && (g.reserved > 0 || g.w.midway || g.w.passed >= mostPassed)
}

// goesAhead reports whether o may add all its values although another writer has
// the turn: there is room for all of them now and they are quickly copied. A
// writer without the turn must never write a part of a batch: it would have to
// wait for the rest in the place of the writer whose turn it is. mu is held.
func (g *Gate) goesAhead(o *writing) bool {
	c := o.charges()
	if g.turnHeld() || g.known(o) < o.of || int64(o.of)*g.slot > smallCopy || !g.fits(o.of, g.charge(o.of, &c)) {
		return false
	}
	g.w.passed++
	g.pressed = false // fits has seen that the pipe is down to its low-water mark
	return true
}

// minReserve is the part of the reserve of a pipe of measured values that is
// left for the memory to which they refer.
const minReserve = 16 << 10

// Join makes the pipe take its memory from b and returns its reserve in bytes,
// which the caller has to acquire and to release.
func (g *Gate) Join(b *Budget) int64 {
	seg := int64(g.segLen) * g.slot
	if g.w.park == nil {
		g.w.park = make(chan struct{}, 1)
	}
	reserve := min(seg, max(g.slot, int64(g.capItems)*g.slot))
	if g.measures && g.limit.HasBytes {
		reserve = min(g.capBytes, seg+minReserve)
	}
	g.share = &share{b: b, reserve: reserve, granted: reserve, quantum: max(g.slot, seg), park: g.w.park}
	return reserve
}

// Credit returns the bytes that the pipe has taken from its budget beyond its
// reserve, and whether it waits for more.
func (g *Gate) Credit() (extra int64, waits bool) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.share == nil {
		return 0, false
	}
	b := g.share.b
	b.mu.Lock()
	defer b.mu.Unlock()
	_, waits = b.waiting[g.share]
	return g.share.granted - g.share.reserve, waits
}

// enqueue puts t at the end of the queue for the turn of s. mu is held.
func (g *Gate) enqueue(s *side, t *turn) next {
	if n := len(s.spare); n > 0 {
		t.ch, s.spare = s.spare[n-1], s.spare[:n-1]
	} else {
		t.ch = make(chan struct{}, 1)
	}
	s.queue = append(s.queue, t.ch)
	g.rests(s)
	return queued
}

// giveUp takes t out of the queue. If the turn came at the same moment, t owns
// it and has to pass it on. mu is held.
func (g *Gate) giveUp(s *side, t *turn) {
	for i, ch := range s.queue {
		if ch == t.ch {
			s.queue = append(s.queue[:i], s.queue[i+1:]...)
			s.spare = append(s.spare, t.ch)
			t.ch = nil
			g.stirs(s)
			return
		}
	}
	<-t.ch
	s.arrived(t)
}

// pass gives the turn of s to the goroutine that has waited longest. mu is held.
func (g *Gate) pass(s *side) {
	s.midway, s.passed = false, 0
	if s == &g.w {
		g.stuck = false
	}
	if len(s.queue) == 0 {
		s.taken = false
	} else {
		ch := s.queue[0]
		copy(s.queue, s.queue[1:])
		s.queue[len(s.queue)-1] = nil
		s.queue = s.queue[:len(s.queue)-1]
		g.stirs(s)
		ch <- struct{}{} // has capacity 1, and gets one token for each time in the queue
	}
	// TryWrite and TryRead do not queue, but may have been refused because of
	// the turn.
	if g.w.ready != nil && g.hasRoom() {
		g.w.signal()
	}
	if g.r.ready != nil && g.buffered() > 0 {
		g.r.signal()
	}
}

// rests counts a goroutine that is about to wait at s, in the queue or parked.
// No goroutine waits without passing here. mu is held.
func (g *Gate) rests(s *side) {
	s.resting++
	if g.watcher != nil {
		g.watcher.Waits()
	}
}

// stirs undoes rests, when another goroutine makes the waiting one runnable or
// when it wakes by itself (its context has ended, or a budget has memory
// again). mu is held.
func (g *Gate) stirs(s *side) {
	s.resting--
	if g.watcher != nil {
		g.watcher.Woken()
	}
}

// known returns how many values of o can be added: of a pipe with a size
// function, those that are weighed.
func (g *Gate) known(o *writing) int {
	if g.measures {
		return o.to - o.at
	}
	return o.of - o.n
}

// large reports whether n values are copied without mu. A pipe with a size
// function never has so many of them weighed at a time.
func (g *Gate) large(n int) bool { return !g.measures && int64(n)*g.slot > smallCopy }

// writeStep is the part of a step of a write that decides. With adds, the writer
// adds the next n values, and asks again. With away and an n that is not 0, it
// fills the next n free slots. mu is held.
func (g *Gate) writeStep(o *writing, t *turn) (does next, n int) {
	if t.err = g.writeError(); t.err != nil || o.n == o.of {
		return finished, 0
	}
	if g.w.taken && !t.owned {
		if g.goesAhead(o) {
			return adds, o.of
		}
		return g.enqueue(&g.w, t), 0
	}
	// This writer or no writer has the turn. No other writer can take it before
	// the step is over, and a writer whose step ends with a part of its batch has
	// taken it.
	known := g.known(o)
	if g.large(o.of - o.n) {
		if n := g.room(o.of-o.n, nil); n > 0 {
			g.w.own(t)
			return away, n
		}
	} else if known > 0 {
		var c charges
		if g.measures {
			c = o.charges()
		}
		if n := g.room(known, &c); n > 0 {
			return adds, n
		}
	}
	g.w.own(t)
	g.w.midway = o.n > 0
	if known == 0 {
		return away, 0
	}
	g.need, g.stuck = g.slot, true
	if g.measures {
		c := o.charges()
		g.need = c.first()
	}
	g.wakeReader()
	return parked, 0
}

// tryWrite is the part of TryWrite that decides about a batch of n values. mu is held.
func (g *Gate) tryWrite(n int, charge int64) error {
	if err := g.writeError(); err != nil {
		return err
	}
	if n > 1 && !g.rendezvous && (n > g.capItems || g.measures && charge > g.capBytes) {
		return ErrTooLarge
	}
	if g.turnHeld() || !g.fits(n, charge) {
		g.pressed, g.quick = true, 0
		g.tryLen, g.tryCost = n, charge
		return ErrFull
	}
	if g.w.taken {
		g.w.passed++
	}
	g.tryLen, g.tryCost = 1, g.slot
	g.pressed = false // fits has seen that the pipe is down to its low-water mark
	return nil
}

// slotsNow is awaitSlots that does not wait; it returns 0 instead. mu is held.
func (g *Gate) slotsNow(n int) (room int) {
	if g.w.taken || g.writeError() != nil {
		return 0
	}
	room = g.room(n, nil)
	g.w.taken = room > 0
	return room
}

// awaitSlots takes the write turn, which stays with the caller until Commit, and
// waits until at least one and at most n slots may be handed out. mu is held
// before and after.
func (g *Gate) awaitSlots(ctx context.Context, clk *clock.Clock, n int) (room int, err error) {
	var t turn
	if does := g.reserveStep(&t, n, &room); does != finished {
		g.drive(ctx, clk, &g.w, &t, does, func() next { return g.reserveStep(&t, n, &room) })
	}
	if t.err != nil && t.owned {
		g.pass(&g.w)
	}
	return room, t.err
}

// reserveStep takes the turn and finds out how many of n slots are free. mu is held.
func (g *Gate) reserveStep(t *turn, n int, room *int) next {
	if !t.owned {
		if g.w.taken {
			return g.enqueue(&g.w, t)
		}
		g.w.own(t)
	}
	g.stuck = false
	if t.err = g.writeError(); t.err != nil {
		return finished
	}
	if *room = g.room(n, nil); *room > 0 {
		return finished
	}
	g.need, g.stuck = g.slot, true
	g.wakeReader()
	return parked
}

// filled adds n slots that were filled without mu, and reports whether the pipe is
// still open: otherwise the memory is no longer its own. mu is held.
func (g *Gate) filled(n int) bool {
	g.reserved = 0
	if g.rerr != nil || g.werr != nil {
		return false
	}
	g.last.w += n
	g.added(n)
	g.wakeReader()
	return true
}

// readStep finishes when there is something to read or the pipe has ended. mu
// is held.
func (g *Gate) readStep(o *readOp) next {
	if !o.owned {
		// A reader that finds values takes them, even past one that is about to
		// wake up for them. If it queued, it would wait for a goroutine that
		// does not run yet, and all others after it likewise.
		if g.r.taken && (o.view || g.viewing || g.buffered() == 0) {
			return g.enqueue(&g.r, &o.turn)
		}
		if o.view {
			g.r.own(&o.turn)
		}
	}
	if g.enough(o.n) || g.rerr != nil || g.werr != nil {
		return finished
	}
	g.r.own(&o.turn)
	g.want = o.n
	if g.rendezvous && o.asked == 0 {
		o.asked = g.asks(max(o.most, o.n))
		g.demand += o.asked
		g.wakeWriter()
	}
	return parked
}

// enough reports whether a reader that waits for n values has to wait no
// longer: they are there, or no more of them can come before it reads. mu is
// held.
func (g *Gate) enough(n int) bool {
	return g.buffered() >= n || g.items > 0 && (g.stuck || g.items >= max(g.capItems, g.demand))
}

// asks returns how many values a reader with room for n lets into a
// rendezvous: one, or a buffer of bytes.
func (g *Gate) asks(n int) int {
	if g.bytes {
		return min(max(n, 1), g.segLen)
	}
	return 1
}

// endRead is the last step of every read that does not hand out a view. It
// passes the turn on. mu is held.
func (g *Gate) endRead(o *readOp) {
	g.answered(o)
	if o.owned {
		o.owned = false
		g.pass(&g.r)
	}
	g.wakeWriter()
}

// answered takes back a reader's request to the writers of a rendezvous. mu is
// held.
func (g *Gate) answered(o *readOp) {
	g.demand -= o.asked
	o.asked = 0
}

// endWrite is the last step of every write and passes the turn on. mu is held.
func (g *Gate) endWrite(t *turn) {
	if t.owned {
		t.owned = false
		g.pass(&g.w)
	}
	g.wakeReader()
	g.requick()
}

// added is called when n values more are in the segments. mu is held.
func (g *Gate) added(n int) {
	g.items += n
	g.quick = 0
	if g.share != nil {
		g.share.cover(g.used())
	}
}

// requick finds out how many values, and of what charge, may be added to the
// last segment without asking again. Whatever may change the answer resets
// quick to 0. mu is held.
func (g *Gate) requick() {
	g.quick = 0
	s := g.last
	if g.rendezvous || g.turnHeld() || s == nil || s.w == s.size || g.writeError() != nil || !g.drained() {
		return
	}
	n := g.capItems - g.items
	if g.measures {
		g.quickCharge = g.capBytes - g.used()
	}
	if n <= 0 || g.measures && g.quickCharge <= 0 {
		g.pressed = true
		return
	}
	if g.share != nil {
		free := g.share.granted - g.used()
		if g.measures {
			g.quickCharge = min(g.quickCharge, free)
		} else {
			n = min(n, int(free/g.slot))
		}
	}
	g.quick = max(0, min(n, s.size-s.w, max(1, warm/int(g.slot))))
}

// fills records that the next k values of s have been filled, and takes their charges
// out of c. mu is held.
func (g *Gate) fills(s *span, k int, c *charges) {
	if g.measures {
		g.note(s, k, c)
	}
	s.w += k
}

// quickly reports whether n values may be added to the last segment without asking
// for room, and notes their charges if so. mu is held.
func (g *Gate) quickly(n int, c *charges) bool {
	if n == 0 || n > g.quick || int64(n)*g.slot > smallCopy {
		return false
	}
	if g.measures {
		sum := c.sum(n)
		if sum > g.quickCharge {
			return false
		}
		g.quickCharge -= sum
		g.note(g.last, n, c)
	}
	return true
}

// note records the charges of the next k values of s, and takes them out of c. mu
// is held.
func (g *Gate) note(s *span, k int, c *charges) {
	sums := s.sums[s.w : s.w+k]
	off := g.chargeIn - c.base
	for i, sum := range c.sums[:k] {
		sums[i] = off + sum
	}
	g.chargeIn += c.sum(k)
	g.largest = max(g.largest, c.most(k))
	c.skip(k)
}

// wake makes the parked owner of the turn runnable. unlock sends the token: a
// goroutine that wakes on another core at once would find the pipe locked. mu
// is held.
func (g *Gate) wake(s *side) {
	if s.parked {
		s.parked, s.due = false, true
		g.stirs(s)
	}
}

// unlock releases mu and wakes those that are to be woken.
func (g *Gate) unlock() {
	if !g.r.due && !g.w.due {
		g.mu.Unlock()
		return
	}
	r, w := g.r.due, g.w.due
	g.r.due, g.w.due = false, false
	g.mu.Unlock()
	if r {
		g.r.token()
	}
	if w {
		g.w.token()
	}
}

// drive continues an operation with the action that its last step returned: it
// waits, and steps again, until the operation has finished, has failed because
// ctx has ended, or works without mu, which is up to the caller. mu is held
// before and after, and whenever step is called.
func (g *Gate) drive(ctx context.Context, clk *clock.Clock, s *side, t *turn, does next, step func() next) next {
	for t.err == nil {
		switch does {
		case queued:
			g.takeTurn(ctx, clk, s, t)
			if t.err == nil {
				does = step()
			}
		case parked:
			does = g.wait(ctx, clk, s, t, step)
		default:
			return does
		}
	}
	return finished
}

// takeTurn waits in the queue of s until the turn comes.
func (g *Gate) takeTurn(ctx context.Context, clk *clock.Clock, s *side, t *turn) {
	back := g.beginWait(clk, s)
	g.unlock()
	select {
	case <-t.ch:
		g.mu.Lock()
		s.arrived(t)
	case <-ctx.Done():
		g.mu.Lock()
		g.giveUp(s, t)
		t.err = context.Cause(ctx)
	}
	g.endWait(clk, s, back)
}

func (g *Gate) beginWait(clk *clock.Clock, s *side) int32 {
	t := clock.Now()
	if s == &g.w && s.time.n == 0 {
		g.spell.begin(t)
	}
	s.time.add(1, t)
	if clk == nil {
		return 0
	}
	if s == &g.w {
		return clk.Switch(clk.Blocked(), t)
	}
	return clk.Switch(clk.Starved(), t)
}

func (g *Gate) endWait(clk *clock.Clock, s *side, back int32) {
	t := clock.Now()
	if s.time.add(-1, t); s == &g.w && s.time.n == 0 {
		g.spell.pause(t)
	}
	if clk != nil {
		clk.Switch(back, t)
	}
}

// Ask tells the writers of a rendezvous that a reader waits for n more values,
// or no longer does if n is negative. See asks.
func (g *Gate) Ask(n int) {
	if !g.rendezvous || n == 0 {
		return
	}
	g.mu.Lock()
	if n > 0 {
		g.demand += g.asks(n)
	} else {
		g.demand -= g.asks(-n)
	}
	g.wakeWriter()
	g.unlock()
}

// yields is how often a goroutine lets others run before it parks. Where two
// goroutines share a core that is all a hand-over takes; more of it makes
// everything slower.
const yields = 4

// wait parks until step says something else, or ctx ends. A clock counts from
// the beginning. Without one, the time is read only when the goroutine parks.
func (g *Gate) wait(ctx context.Context, clk *clock.Clock, s *side, t *turn, step func() next) next {
	timed := clk != nil
	var back int32
	if timed {
		back = g.beginWait(clk, s)
		if s == &g.w && g.short {
			clk.Short().Begin()
			defer clk.Short().End()
		}
	}
	if s.idle > 0 {
		s.idle--
	} else if does := g.yield(step); does != parked {
		if timed {
			g.endWait(clk, s, back)
		}
		return does
	} else {
		s.idle = 16
	}
	if !timed {
		g.beginWait(nil, s)
	}
	does := g.sleep(ctx, s, t, step)
	g.endWait(clk, s, back)
	return does
}

// yield lets other goroutines run for a moment, and steps.
func (g *Gate) yield(step func() next) next {
	for range yields {
		g.unlock()
		runtime.Gosched()
		g.mu.Lock()
		if does := step(); does != parked {
			return does
		}
	}
	return parked
}

func (g *Gate) sleep(ctx context.Context, s *side, t *turn, step func() next) next {
	if s.park == nil {
		s.park = make(chan struct{}, 1)
	}
	for {
		if ctx.Err() != nil {
			t.err = context.Cause(ctx)
			return finished
		}
		g.parks(s)
		g.unlock()
		if done := ctx.Done(); done == nil {
			<-s.park
		} else {
			select {
			case <-s.park:
			case <-done:
			}
		}
		g.mu.Lock()
		g.unparks(s)
		if does := step(); does != parked {
			return does
		}
	}
}

// parks says that the owner of the turn is about to wait for a token. mu is
// held.
func (g *Gate) parks(s *side) {
	s.parked = true
	g.rests(s)
}

// unparks says that it waits no longer. If wake has not said so, it has woken
// for another reason than the pipe: its context, a budget that has memory
// again, or a token that was left from an earlier wait. mu is held.
func (g *Gate) unparks(s *side) {
	if s.parked {
		s.parked = false
		g.stirs(s)
	}
}

// wakeReader is called after values were added. mu is held.
func (g *Gate) wakeReader() {
	if g.r.parked && g.enough(g.want) {
		g.wake(&g.r)
	}
	if g.r.ready != nil && g.buffered() > 0 {
		g.r.signal()
	}
}

// wakeWriter is called after values were taken. mu is held.
func (g *Gate) wakeWriter() {
	if g.w.parked && g.fits(1, g.need) {
		g.wake(&g.w)
	}
	if g.w.ready != nil && g.hasRoom() {
		g.w.signal()
	}
}

// hasRoom reports whether the values that were refused last would fit now, as
// Ready promises.
func (g *Gate) hasRoom() bool { return !g.turnHeld() && g.fits(g.tryLen, g.tryCost) }

// wakeAll lets everybody see that the pipe was closed. mu is held.
func (g *Gate) wakeAll() {
	g.wake(&g.w)
	g.wake(&g.r)
	g.w.signal()
	g.r.signal()
}

// WriteReady returns a channel that is closed when the values that TryWrite last
// refused would fit, or the pipe was closed.
func (g *Gate) WriteReady() <-chan struct{} {
	g.mu.Lock()
	defer g.unlock()
	if g.writeError() != nil || g.hasRoom() {
		return closedChan
	}
	if g.w.ready == nil {
		g.w.ready = make(chan struct{})
	}
	return g.w.ready
}

// ReadReady returns a channel that is closed when a value can be taken or the pipe
// has ended.
func (g *Gate) ReadReady() <-chan struct{} {
	g.mu.Lock()
	defer g.unlock()
	if g.readError() != nil || g.buffered() > 0 && !g.viewing {
		return closedChan
	}
	if g.r.ready == nil {
		g.r.ready = make(chan struct{})
	}
	return g.r.ready
}

// awaitValue waits until there is a value, or the pipe has ended. It returns an
// error only if ctx has ended first. mu is held before and after.
func (g *Gate) awaitValue(ctx context.Context, clk *clock.Clock, o *readOp) error {
	if does := g.readStep(o); does != finished {
		g.drive(ctx, clk, &g.r, &o.turn, does, func() next { return g.readStep(o) })
	}
	return o.err
}

// Commit publishes the first n reserved slots and gives the turn back.
func (g *Gate) Commit(n int) error {
	g.mu.Lock()
	err := g.commit(n)
	g.unlock()
	return err
}

func (g *Gate) commit(n int) error {
	if g.reserved == 0 { // the turn can be another writer's
		return errUnreserved
	}
	if n < 0 || n > g.reserved {
		return errCommit
	}
	g.reserved = 0
	err := g.writeError()
	if err == nil && n > 0 {
		g.last.w += n
		g.added(n)
	}
	if s := g.last; s != nil && s == g.first && s.r == s.w {
		s.r, s.w = 0, 0
	}
	g.pass(&g.w)
	g.wakeReader()
	return err
}

// awaitView waits until there is a value, and takes the read turn, which stays with
// the caller until Release. mu is held before and after.
func (g *Gate) awaitView(ctx context.Context, clk *clock.Clock) error {
	o := readOp{n: 1, most: g.segLen, view: true}
	if does := g.readStep(&o); does != finished {
		g.drive(ctx, clk, &g.r, &o.turn, does, func() next { return g.readStep(&o) })
		g.answered(&o)
		if o.err != nil {
			g.endRead(&o)
			return o.err
		}
	}
	if g.fronts == 0 && (g.items == 0 || g.rerr != nil) {
		err := g.readError()
		g.pass(&g.r)
		return err
	}
	g.viewing = true
	return nil
}

// took takes the first n values of the first segment out, and reports whether that
// segment has been read to its end and is not used any more. mu is held.
func (g *Gate) took(n int) (over bool) {
	g.peak = max(g.peak, g.fill()) // between two calls, the fill only grows
	s := g.first
	if g.measures {
		g.chargeOut = s.sums[s.r+n-1]
	}
	s.r += n
	g.items -= n
	g.totalOut += int64(n)
	if s.r == s.w {
		switch {
		case s != g.last || s.w == s.size:
			over = true
		case g.reserved == 0:
			s.r, s.w = 0, 0
		}
	}
	if g.share != nil && g.share.trim(g.used()) {
		g.quick = 0 // it may have been granted by the bytes that were given back
	}
	return over
}

// releases reports whether a reader may take the first n values of its view. If they
// are gone, because the pipe was closed since Acquire, it gives the turn back. mu is
// held.
func (g *Gate) releases(n int) (gone bool, err error) {
	if !g.viewing || n < 0 {
		return false, errRelease
	}
	if g.rerr != nil {
		g.viewing = false
		g.pass(&g.r)
		return true, nil
	}
	view := g.fronts
	if view == 0 {
		view = g.first.w - g.first.r
	}
	if n > view {
		return false, errRelease
	}
	return false, nil
}

// released gives the turn back after n values of the view were taken. mu is held.
func (g *Gate) released(n int) {
	g.viewing = false
	if n > 0 {
		g.taken = n
	}
	g.pass(&g.r)
	g.wakeWriter()
}

// abandon ends the turn of a writer whose own code has panicked.
func (g *Gate) abandon(returned *bool, t *turn) {
	if !*returned {
		g.mu.Lock()
		g.endWrite(t)
		g.unlock()
	}
}

// countDropped adds n to the values that were dropped because there was no room.
func (g *Gate) countDropped(n int) {
	if n > 0 {
		g.mu.Lock()
		g.dropped += int64(n)
		g.unlock()
	}
}

// within returns how many of the first k values of the head segment are charged
// at most most together. mu is held.
func (g *Gate) within(s *span, k int, most int64) int {
	if !g.measures {
		return max(0, int(min(int64(k), most/g.slot)))
	}
	c := charges{sums: s.sums[s.r : s.r+k], base: g.chargeOut}
	return c.within(k, most)
}
