// Package pipe is the bounded buffer between goroutines that write and
// goroutines that read, and the memory that several such buffers share. It
// knows nothing about flows: a waiting goroutine can pass the [clock.Clock] of
// its lane, and a pipe reports to one [Watcher] how many goroutines wait.
//
// An operation is a sequence of steps that never block (see step.go); a test runs
// them in every order in which goroutines could.
package pipe

import (
	"context"
	"errors"
	"io"
	"math"
	"sync"

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

// withDefaults fills in the unset parts of l. bytes says that values are bytes.
func withDefaults(l Limit, bytes bool) Limit {
	switch {
	case l.HasBytes || l.HasItems:
		return l
	case bytes:
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

// Pipe is the bounded buffer itself; the halves that users have of it are thin. It
// has the memory, and moves values in and out when its [Gate] says so.
type Pipe[T any] struct {
	head, tail *segment[T]
	size       func(T) int // nil: values are not measured
	clears     bool        // values may hold pointers: clear the slots that were read

	// A field with a name: the methods of an embedded one would be made again
	// for each type of value.
	g Gate

	spare   *segment[T]
	pool    *sync.Pool
	front   []T           // put back by Unread; g.fronts is its length
	natural measure.Meter // measures several values at once, if size is not the user's
}

// New makes a pipe. Limits must not be negative.
func New[T any](c Config[T]) *Pipe[T] {
	bytes := measure.IsByte[T]()
	p := &Pipe[T]{size: c.Size, clears: measure.HasPointers[T]()}
	if c.Size == nil {
		p.size = measure.Refers[T]()
	}
	p.g.name, p.g.maxValue, p.g.bytes, p.g.free = c.Name, c.MaxValue, bytes, p.free
	p.g.init(withDefaults(c.Limit, bytes), measure.Slot[T](), c.LowWater, p.size != nil, c.Weighs)
	if !p.g.measures {
		p.size = nil
	} else if c.Size == nil {
		p.natural = measure.MeterOf[T]()
	}
	p.pool = segmentPool[T](p.g.segLen, p.g.measures)
	return p
}

// Gate returns the part of the pipe that does not depend on the type of its values.
func (p *Pipe[T]) Gate() *Gate { return &p.g }

// cost returns the charge of v. Only for pipes with a size function.
func (p *Pipe[T]) cost(v T) int64 { return p.g.slot + max(0, int64(p.size(v))) }

// grow appends an empty segment. mu is held.
func (p *Pipe[T]) grow() *segment[T] {
	s := p.spare
	if s != nil {
		p.spare = nil
	} else {
		s = p.pool.Get().(*segment[T])
	}
	if p.tail == nil {
		p.head, p.g.first = s, &s.span
	} else {
		p.tail.next = s
	}
	p.tail, p.g.last = s, &s.span
	return s
}

// recycle takes the head segment, read to its end, out of the list. mu is held.
func (p *Pipe[T]) recycle() {
	s := p.head
	if p.head = s.next; p.head == nil {
		p.tail, p.g.first, p.g.last = nil, nil, nil
	} else {
		p.g.first = &p.head.span
	}
	s.next, s.r, s.w = nil, 0, 0
	if p.spare == nil {
		p.spare = s
	} else {
		p.pool.Put(s)
	}
}

// free drops all memory. Segments that a caller still looks into are left to
// the garbage collector instead of the pool. mu is held.
func (p *Pipe[T]) free() {
	viewed := p.g.viewing || p.g.reserved > 0
	for s := p.head; s != nil; {
		next := s.next
		if !viewed {
			clear(s.buf[s.r:s.w])
			s.next, s.r, s.w = nil, 0, 0
			p.pool.Put(s)
		}
		s = next
	}
	if p.spare != nil {
		p.pool.Put(p.spare)
	}
	p.head, p.tail, p.spare, p.front = nil, nil, nil, nil
}

// weigh calls the size function for the first values of vs, as many as buf has
// room for, and returns their charges, in buf. It runs code of the user's: mu
// must not be held.
func (p *Pipe[T]) weigh(vs []T, buf []int64) charges {
	n := min(len(vs), len(buf))
	if most := int(4 * smallCopy / p.g.slot); n > most {
		n = max(1, most)
	}
	var sum, largest int64
	if p.natural.Measures() {
		largest = measure.Charges(p.natural, vs[:n], p.g.slot, buf[:n])
		return charges{sums: buf[:n], largest: largest}
	}
	for i, v := range vs[:n] {
		c := p.cost(v)
		largest = max(largest, c)
		sum += c
		buf[i] = sum
	}
	return charges{sums: buf[:n], largest: largest}
}

// weighAll is weigh for all of vs.
func (p *Pipe[T]) weighAll(vs []T, buf *[]int64) (c charges) {
	sums := (*buf)[:0]
	for rest := vs; len(rest) > 0; {
		var some [weighed]int64
		part := p.weigh(rest, some[:])
		before := int64(0)
		if len(sums) > 0 {
			before = sums[len(sums)-1]
		}
		for _, sum := range part.sums {
			sums = append(sums, before+sum)
		}
		c.largest = max(c.largest, part.largest)
		rest = rest[len(part.sums):]
	}
	if cap(sums) <= 1<<12 {
		*buf = sums
	}
	c.sums = sums
	return c
}

// weighMore is weigh for a writer that owns the turn. If the size function
// panics, the turn is passed on.
func (p *Pipe[T]) weighMore(o *writeOp[T], t *turn) {
	returned := false
	defer p.g.abandon(&returned, t)
	o.op.weighed(p.weigh(o.vs[o.op.n:], o.op.buf))
	returned = true
}

// writeStep adds the values that there is room for. mu is held.
func (p *Pipe[T]) writeStep(o *writeOp[T], t *turn) next {
	g := &p.g
	g.quick = 0
	if t.owned {
		g.stuck = false
	}
	if n := len(o.view); n > 0 {
		if o.view = nil; g.filled(n) {
			if o.op.wrote(n); o.op.n == o.op.of {
				return finished
			}
		}
	}
	for {
		does, n := g.writeStep(&o.op, t)
		switch {
		case does == adds:
			var c charges
			if p.size != nil {
				c = o.op.charges()
			}
			p.add(o.vs[o.op.n:o.op.n+n], &c)
			if o.op.wrote(n); o.op.n < o.op.of {
				continue
			}
			return finished
		case does == away && n > 0:
			o.view = p.handOut(n)
		}
		return does
	}
}

// handOut returns up to n free slots behind the last value. The gate has found
// that there is room. The caller owns the write turn and calls filled or commit
// when they are filled. mu is held.
func (p *Pipe[T]) handOut(n int) []T {
	s := p.writable()
	n = min(n, len(s.buf)-s.w)
	p.g.reserved, p.g.quick = n, 0
	return s.buf[s.w : s.w+n : s.w+n]
}

// add adds all of vs. The caller has made sure that there is room. mu is held.
func (p *Pipe[T]) add(vs []T, c *charges) {
	n := len(vs)
	for len(vs) > 0 {
		s := p.writable()
		k := copy(s.buf[s.w:], vs)
		p.g.fills(&s.span, k, c)
		vs = vs[k:]
	}
	p.g.added(n)
}

// warm is how many bytes are cleared ahead of single values. The memory was
// last read by another core; fetched in one go it costs half as much as line by
// line, between the locked instructions of one send and the next.
const warm = 1 << 10

// writable returns the last segment, with at least one free slot.
func (p *Pipe[T]) writable() *segment[T] {
	if s := p.tail; s != nil && s.w < len(s.buf) {
		return s
	}
	return p.grow()
}

// Write adds all of vs, waiting for room as often as it takes, and returns how
// many were added. Batches of several writers are not mixed. For the clock see
// [Pipe.Read].
func (p *Pipe[T]) Write(ctx context.Context, clk *clock.Clock, vs []T) (n int, err error) {
	if p.size != nil {
		return p.writeSized(ctx, clk, vs)
	}
	g := &p.g
	g.mu.Lock()
	if n := len(vs); 0 < n && n <= g.quick && int64(n)*g.slot <= smallCopy {
		p.copyQuick(vs)
		g.unlock()
		return n, nil
	}
	return p.writeLocked(ctx, clk, &writeOp[T]{vs: vs, op: writing{of: len(vs)}})
}

func (p *Pipe[T]) writeSized(ctx context.Context, clk *clock.Clock, vs []T) (n int, err error) {
	if len(vs) <= weighed {
		var buf [weighed]int64
		return p.writeWeighed(ctx, clk, vs, buf[:])
	}
	var buf [weighedMost]int64 // which takes a while to clear
	return p.writeWeighed(ctx, clk, vs, buf[:])
}

// writeWeighed is Write for a pipe with a size function; buf is where the values
// are weighed.
func (p *Pipe[T]) writeWeighed(ctx context.Context, clk *clock.Clock, vs []T, buf []int64) (n int, err error) {
	c := p.weigh(vs, buf)
	p.g.mu.Lock()
	if len(c.sums) == len(vs) && p.addQuick(vs, &c) {
		p.g.unlock()
		return len(vs), nil
	}
	o := writeOp[T]{vs: vs, op: writing{of: len(vs), buf: buf}}
	o.op.weighed(c)
	return p.writeLocked(ctx, clk, &o)
}

// addQuick adds vs to the last segment if the gate says that there is room
// without asking, and reports whether it did. mu is held.
func (p *Pipe[T]) addQuick(vs []T, c *charges) bool {
	if !p.g.quickly(len(vs), c) {
		return false
	}
	p.copyQuick(vs)
	return true
}

// copyQuick copies vs, for which there is room, to the last segment. mu is held.
func (p *Pipe[T]) copyQuick(vs []T) {
	g, s, n := &p.g, p.tail, len(vs)
	copy(s.buf[s.w:], vs)
	s.w += n
	g.items += n
	g.quick -= n
	if g.r.parked || g.r.ready != nil {
		g.wakeReader()
	}
}

// writeLocked carries out o for a caller that has locked mu; it unlocks it.
func (p *Pipe[T]) writeLocked(ctx context.Context, clk *clock.Clock, o *writeOp[T]) (n int, err error) {
	g := &p.g
	var t turn
	does := p.writeStep(o, &t)
	for does != finished {
		if does != away {
			does = g.drive(ctx, clk, &g.w, &t, does, func() next { return p.writeStep(o, &t) })
			continue
		}
		g.unlock()
		if p.size != nil {
			p.weighMore(o, &t)
		} else {
			copy(o.view, o.vs[o.op.n:])
		}
		g.mu.Lock()
		does = p.writeStep(o, &t)
	}
	g.endWrite(&t)
	if g.quick > 0 {
		s := p.tail
		clear(s.buf[s.w : s.w+g.quick]) // see warm
	}
	g.unlock()
	return o.op.n, t.err
}

// Send is Write for a single value.
func (p *Pipe[T]) Send(ctx context.Context, clk *clock.Clock, v T) error {
	if p.size != nil {
		return p.sendSized(ctx, clk, v)
	}
	g := &p.g
	g.mu.Lock()
	if g.quick == 0 {
		one := [1]T{v}
		_, err := p.writeLocked(ctx, clk, &writeOp[T]{vs: one[:], op: writing{of: 1}})
		return err
	}
	s := p.tail
	s.buf[s.w] = v
	s.w++
	g.items++
	g.quick--
	if g.r.parked || g.r.ready != nil {
		g.wakeReader()
	}
	g.unlock()
	return nil
}

func (p *Pipe[T]) sendSized(ctx context.Context, clk *clock.Clock, v T) error {
	g := &p.g
	c := p.cost(v)
	g.mu.Lock()
	if g.quick == 0 || c > g.quickCharge {
		one, sums := [1]T{v}, [1]int64{c}
		_, err := p.writeLocked(ctx, clk, &writeOp[T]{vs: one[:], op: writing{of: 1, buf: sums[:], to: 1, largest: c}})
		return err
	}
	s := p.tail
	g.chargeIn += c
	g.largest = max(g.largest, c)
	g.quickCharge -= c
	s.buf[s.w], s.sums[s.w] = v, g.chargeIn
	s.w++
	g.items++
	g.quick--
	if g.r.parked || g.r.ready != nil {
		g.wakeReader()
	}
	g.unlock()
	return nil
}

// sumsPool keeps the memory for the charges of batches that must be weighed as
// a whole.
var sumsPool = sync.Pool{New: func() any { return new([]int64) }}

// TryWrite adds all of vs or nothing, without waiting.
func (p *Pipe[T]) TryWrite(vs []T) error {
	var c charges
	if p.size != nil {
		buf := sumsPool.Get().(*[]int64)
		defer sumsPool.Put(buf)
		c = p.weighAll(vs, buf)
	}
	g := &p.g
	charge := g.charge(len(vs), &c)
	g.mu.Lock()
	defer g.unlock()
	if err := g.tryWrite(len(vs), charge); err != nil {
		return err
	}
	p.add(vs, &c)
	g.wakeReader()
	return nil
}

// Reserve waits for room and hands out up to n free slots. The write turn is held
// until Commit.
func (p *Pipe[T]) Reserve(ctx context.Context, clk *clock.Clock, n int) ([]T, error) {
	if p.size != nil {
		return nil, errors.ErrUnsupported
	}
	g := &p.g
	g.mu.Lock()
	room, err := g.slotsNow(max(n, 1)), error(nil)
	if room == 0 {
		room, err = g.awaitSlots(ctx, clk, max(n, 1))
	}
	var view []T
	if err == nil {
		view = p.handOut(room)
	}
	g.unlock()
	return view, err
}

// FillFrom reads r into the memory of p until r ends, and returns how many bytes
// that were. It does not close the pipe.
func FillFrom(ctx context.Context, p *Pipe[byte], r io.Reader) (sum int64, err error) {
	for empty := 0; empty < 100; empty++ {
		b, err := p.Reserve(ctx, nil, MaxSegment)
		if err != nil {
			return sum, err
		}
		n, err := r.Read(b)
		if n < 0 || n > len(b) {
			n, err = 0, errBadRead
		}
		if cerr := p.g.Commit(n); cerr != nil {
			return sum, cerr
		}
		sum += int64(n)
		if err == io.EOF {
			return sum, nil
		}
		if err != nil {
			return sum, err
		}
		if n > 0 {
			empty = 0
		}
	}
	return sum, io.ErrNoProgress
}

var errBadRead = errors.New("Read returned an impossible count")

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
func (p *Pipe[T]) TryRead(dst []T, most int64) (n int, err error) {
	g := &p.g
	g.mu.Lock()
	if g.viewing {
		err = ErrEmpty
	} else if n, _ = p.takeUpTo(dst, most); n > 0 || len(dst) == 0 {
		g.wakeWriter()
	} else if err = g.readError(); err == nil {
		err = ErrEmpty
	}
	g.unlock()
	return n, err
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
