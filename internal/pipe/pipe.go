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
	"sync"
	"time"

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

// cost returns the charge of v. Only for pipes with a size function.
func (p *Pipe[T]) cost(v T) int64 { return p.g.slot + max(0, int64(p.size(v))) }

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
