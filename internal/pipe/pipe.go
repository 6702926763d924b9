// Package pipe is the bounded buffer between goroutines that write and
// goroutines that read, and the memory that several such buffers share. It
// knows nothing about flows: a waiting goroutine can pass the [clock.Clock] of
// its lane, and a pipe reports to one [Watcher] how many goroutines wait.
//
// An operation is a sequence of steps that never block (see step.go); a test runs
// them in every order in which goroutines could.
package pipe

import (
	"errors"
	"io"
	"math"
	"sync"
	"time"

	"github.com/weir-go/weir/internal/clock"
	measure "github.com/weir-go/weir/internal/size"
)

var (
	// ErrClosed is returned by writes after the pipe was closed.
	ErrClosed = errors.New("pipe is closed")

	// ErrFull is returned by TryWrite when there is no room.
	ErrFull = errors.New("pipe is full")

	// ErrEmpty is returned by TryRead when there is no value.
	ErrEmpty = errors.New("pipe is empty")

	// ErrTooLarge is returned by TryWrite for a batch that can never fit.
	ErrTooLarge = errors.New("batch is larger than the pipe's limit")

	// ErrUnread is returned by Unread for more values than the last read took.
	ErrUnread = errors.New("cannot unread more than was read")

	errCommit = errors.New("cannot commit more than was reserved")

	errUnreserved = errors.New("cannot commit what was not reserved")

	errRelease = errors.New("cannot release more than was acquired")
)

const (
	// DefaultBytes and DefaultItems are the default limit of a pipe. The items
	// do not count where the values are bytes.
	DefaultBytes = 256 << 10
	DefaultItems = 4096

	// MaxSegment is the largest piece of memory a pipe takes at once, in bytes,
	// and so the largest view it hands out: 64 KiB stays within a core's cache.
	MaxSegment = 64 << 10

	// SumSize is the additional size of a slot, in bytes, in a pipe whose values
	// are measured.
	SumSize = 8
)

// Limit says how much a pipe may hold. The zero Limit is the default.
type Limit struct {
	Bytes, Items       int64 // neither is negative
	HasBytes, HasItems bool
}

// withDefaults fills in the unset parts of l for values of type T.
func withDefaults[T any](l Limit) Limit {
	switch {
	case l.HasBytes || l.HasItems:
		return l
	case measure.IsByte[T]():
		return Limit{Bytes: DefaultBytes, HasBytes: true}
	}
	return Limit{Bytes: DefaultBytes, Items: DefaultItems, HasBytes: true, HasItems: true}
}

// Config describes a pipe.
type Config[T any] struct {
	Name     string // "read → gzip"; empty for a pipe of one's own
	Limit    Limit
	LowWater int64         // a pipe that was full has room again at this fill; 0: as soon as anything fits
	Size     func(v T) int // how many bytes v refers to beyond its slot; nil: measure what package size can
	Weighs   bool          // measure values even if the limit does not need it, for the sake of a budget
	MaxValue int64         // the most that one value is charged; 0: anything
}

// Watcher counts the goroutines that wait in pipes. Its methods are called with
// the pipe locked.
type Watcher interface {
	Waits() // a goroutine begins to wait
	Woken() // a goroutine that waits was woken by another, or woke by itself
}

// Pipe is the bounded buffer itself; the halves that users have of it are thin.
//
// Everything is guarded by mu, which is held for a few instructions and while values
// are copied, never while a caller's code runs or a goroutine waits. A Write copies
// more than smallCopy bytes without mu. A longer operation (a write that has to wait
// for room, a view of the memory) holds its side's turn instead, so that several
// writers do not mix their batches and a view has one owner.
type Pipe[T any] struct {
	mu sync.Mutex

	head, tail, spare *segment[T]
	pool              *sync.Pool
	segLen            int
	front             []T // put back by Unread, before everything else; not charged
	taken             int // how many values Unread may put back

	items       int   // values waiting in the segments
	quick       int   // values for which tail has room, whatever else may be; see requick
	quickCharge int64 // with a size function: and as long as they are charged no more

	// With a size function: the charge of all values that ever came in and went
	// out, and of the largest.
	chargeIn, chargeOut, largest int64

	capItems int
	capBytes int64 // only with a size function
	low      int64 // after being full, there is room again at this fill; -1: at once
	pressed  bool  // was full and has not come down to low
	size     func(T) int
	natural  measure.Meter[T] // measures several values at once, if size is not the user's
	slot     int64
	clears   bool // values may hold pointers: clear the slots that were read
	limit    Limit

	rendezvous bool
	lossy      bool // the oldest values may be dropped: views are copies
	demand     int  // values that waiting readers asked for

	werr error // the write side was closed: io.EOF or a cause
	rerr error // the read side was closed

	w, r     side
	spell    spell // of writers that wait for room
	reserved int   // slots handed out by Reserve, at the end of tail
	viewing  bool  // a view of head is handed out
	need     int64 // charge of the value that a waiting writer holds
	want     int   // values that a waiting reader needs
	stuck    bool  // a writer waits for room
	short    bool  // the last refusal of room was the budget's, not the limit's
	tryLen   int   // the need of the TryWrite that was refused last
	tryCost  int64
	share    *share
	maxValue int64       // of the flow; 0: none
	onHangup func(error) // called once, without mu, when the reader goes
	name     string      // see Config
	totalOut int64
	peak     int64
	dropped  int64
	lost     int64   // values that came in and were not read: overwritten, or left at the end
	watcher  Watcher // of the run that both halves belong to; nil: not known
}

// smallCopy is how many bytes may be copied while mu is held; larger copies
// take the turn and are made outside.
const smallCopy = 1 << 10

// New makes a pipe. Limits must not be negative.
func New[T any](c Config[T]) *Pipe[T] {
	l := withDefaults[T](c.Limit)
	size := c.Size
	if size == nil {
		size = measure.Refers[T]()
	}
	slot := measure.Slot[T]()
	p := &Pipe[T]{
		name: c.Name, limit: l, size: size, slot: slot, maxValue: c.MaxValue,
		clears: measure.HasPointers[T](), low: -1, tryLen: 1, tryCost: slot,
	}
	if c.LowWater > 0 {
		p.low = c.LowWater
	}
	weighs := c.Weighs
	const unbounded = 1 << 62
	n := int64(unbounded)
	if p.size == nil {
		weighs = false
	} else if c.Size == nil {
		p.natural = measure.MeterOf[T]()
	}
	if l.HasItems {
		n = l.Items
	}
	if l.HasBytes {
		if size == nil {
			n = min(n, max(l.Bytes/p.slot, min(l.Bytes, 1)))
			if p.low >= 0 {
				p.low /= p.slot
			}
		} else {
			p.capBytes = l.Bytes
			n = min(n, l.Bytes)
		}
	} else if weighs {
		p.capBytes = unbounded
	} else {
		p.size = nil
	}
	p.rendezvous = n == 0
	p.capItems = int(min(n, 1<<40, math.MaxInt))
	p.segLen = segmentLen(p.capItems, p.slot, p.size != nil)
	p.pool = segmentPool[T](p.segLen, p.size != nil)
	return p
}

// segmentLen picks a quarter of the pipe, rounded up to a power of two so that
// few pools serve many limits, and at most MaxSegment bytes.
func segmentLen(capItems int, slot int64, sized bool) int {
	most := max(1, int(MaxSegment/slot))
	if sized {
		most = min(most, max(256, MaxSegment/4/int(slot+SumSize)))
	}
	if capItems == 0 {
		return min(most, 1<<10)
	}
	n := 1
	for n < most && n*4 < capItems {
		n *= 2
	}
	return min(n, most)
}

// Ceiling returns the most memory the pipe can take, except for the values that
// Holders counts: its limit, and the unused parts of the first and the last
// segment.
func (p *Pipe[T]) Ceiling() int64 {
	seg, n := int64(p.segLen)*p.slot, int64(p.capItems)
	var view int64 // of a lossy pipe: a copy
	if p.lossy {
		view = seg
	}
	if p.size != nil {
		seg += int64(p.segLen) * SumSize
		if p.lossy {
			view += MaxSegment
		}
	}
	switch {
	case p.size != nil && p.limit.HasBytes:
		return p.capBytes + min(n, p.capBytes/p.slot)*SumSize + 2*seg + view
	case p.rendezvous:
		return seg + view
	}
	return ((n+int64(p.segLen)-1)/int64(p.segLen)+1)*seg + view
}

// Holders returns how many values the pipe may hold beyond its ceiling: one that
// is larger than its limit, or all of them if the limit does not count bytes. Each
// is charged at most most; 0: anything.
func (p *Pipe[T]) Holders() (values int, most int64) {
	if p.size == nil {
		return 0, 0
	}
	values = 1
	if !p.limit.HasBytes {
		values = max(values, p.capItems)
	}
	if p.lossy {
		values++
	}
	return values, p.maxValue
}

// cost returns the charge of v. Only for pipes with a size function.
func (p *Pipe[T]) cost(v T) int64 { return p.slot + max(0, int64(p.size(v))) }

// fill returns the charge in the unit that the limit is kept in.
func (p *Pipe[T]) fill() int64 {
	if p.size != nil {
		return p.chargeIn - p.chargeOut
	}
	return int64(p.items)
}

// used returns the charge in bytes.
func (p *Pipe[T]) used() int64 {
	if p.size != nil {
		return p.chargeIn - p.chargeOut
	}
	return int64(p.items) * p.slot
}

// writeError returns why nothing more can be written, or nil. mu is held.
func (p *Pipe[T]) writeError() error {
	if p.rerr != nil {
		return p.rerr
	}
	if p.werr != nil {
		return ErrClosed
	}
	return nil
}

// readError returns why nothing more will come, or nil. mu is held.
func (p *Pipe[T]) readError() error {
	if p.rerr != nil {
		return ErrClosed
	}
	return p.werr
}

func (p *Pipe[T]) buffered() int { return p.items + len(p.front) }

// CloseWrite ends the pipe after the values that it holds. Only the first call
// counts.
func (p *Pipe[T]) CloseWrite(cause error) {
	if cause == nil {
		cause = io.EOF
	}
	p.mu.Lock()
	if p.werr == nil {
		p.werr = cause
	}
	p.quick = 0
	p.wakeAll()
	p.unlock()
}

// CloseRead drops the values in the pipe; writers get cause from now on.
func (p *Pipe[T]) CloseRead(cause error) {
	if cause == nil {
		cause = ErrClosed
	}
	p.mu.Lock()
	first := p.rerr == nil
	p.quick = 0
	if first {
		p.rerr = cause
		p.peak = max(p.peak, p.fill())
		p.free()
		p.front = nil
		if p.share != nil {
			p.share.close()
		}
	}
	hangup := p.onHangup
	p.wakeAll()
	p.unlock()
	if first && hangup != nil {
		hangup(cause)
	}
}

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

// Stats returns the pipe's counts at this moment.
func (p *Pipe[T]) Stats() Stats {
	t := clock.Now()
	p.mu.Lock()
	defer p.unlock()
	s := Stats{
		Limit: p.limit, Items: int64(p.buffered()), Bytes: p.used(), Peak: max(p.peak, p.fill()),
		In: p.totalOut + int64(p.items) + p.lost, Out: p.totalOut, Dropped: p.dropped,
		Blocked: time.Duration(p.w.time.at(t)), BlockedN: p.w.time.events,
		Starved: time.Duration(p.r.time.at(t)), WaitingSend: int(p.w.time.n),
		Spells: p.spell.until(t, p.werr != nil || p.rerr != nil), Closed: p.werr != nil || p.rerr != nil,
	}
	if p.limit.HasBytes {
		s.LimitBytes = p.capBytes
	}
	if p.limit.HasItems {
		s.LimitItems = p.limit.Items
	}
	s.Largest = p.largest
	if p.size == nil {
		if s.In > 0 {
			s.Largest = p.slot
		}
		s.Peak *= p.slot
		s.LimitBytes = int64(p.capItems) * p.slot
	}
	return s
}

// Name returns the pipe's name.
func (p *Pipe[T]) Name() string { return p.name }

// Cap returns the most values that the pipe may hold.
func (p *Pipe[T]) Cap() int { return p.capItems }

// Measures reports whether the pipe measures its values, which may then be of any
// size. If it does not, they are all of one size.
func (p *Pipe[T]) Measures() bool { return p.size != nil }

// DropsOldest says that the oldest values may be dropped. It is called before the
// pipe is used.
func (p *Pipe[T]) DropsOldest() { p.lossy = true }

// OnHangup makes the pipe call f once, with the cause, when its reader closes. It
// is called before the pipe is used.
func (p *Pipe[T]) OnHangup(f func(cause error)) { p.onHangup = f }

// Closed reports whether either side has closed the pipe.
func (p *Pipe[T]) Closed() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.rerr != nil || p.werr != nil
}

// WatchedBy makes the pipe report waiting goroutines to w. Goroutines that wait
// already count from now on, because they will be reported as woken.
func (p *Pipe[T]) WatchedBy(w Watcher) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.watcher = w
	for range p.r.resting + p.w.resting {
		w.Waits()
	}
}

// Resting returns how many goroutines wait to read and to write.
func (p *Pipe[T]) Resting() (read, write int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.r.resting, p.w.resting
}

// Passing reports whether somebody waits although there is something to read or
// room to write: another goroutine has the turn, has been woken for it, and has
// not run yet.
func (p *Pipe[T]) Passing() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.r.resting > 0 && p.buffered() > 0 || p.w.resting > 0 && p.hasRoom()
}

// Stirring reports whether a goroutine that counts as waiting has a token that it
// has not received yet: a budget has memory again.
func (p *Pipe[T]) Stirring() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.r.parked && len(p.r.park) > 0 || p.w.parked && len(p.w.park) > 0
}
