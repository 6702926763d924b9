package weir

import (
	"fmt"

	"github.com/weir-go/weir/internal/pipe"
	"github.com/weir-go/weir/internal/size"
	"github.com/weir-go/weir/internal/units"
)

// Limit says how much a pipe may hold, with its unit. It is a hard limit: a
// writer waits rather than exceed it. Make one with [Bytes], [Items], or both:
//
//	weir.Bytes(1 << 20).And(weir.Items(100))
//
// The zero Limit means the default: 256 KiB, and at most 4,096 values if the
// values are not bytes. A limit of zero bytes or zero items is a rendezvous: a
// value passes only when a reader is waiting for it. A waiting reader takes one
// value, or as many bytes as it has room for.
//
// A value that is larger than the limit passes alone, through an empty pipe.
type Limit struct {
	bytes, items       int64
	hasBytes, hasItems bool
}

// Bytes limits a pipe to n bytes. A value that is not a byte counts its slot in
// memory, so that empty values cannot pile up for free, and the memory that it
// refers to. A string counts its length. A slice counts its capacity and the memory
// that its elements refer to. A pointer counts the value that it points to. A struct
// or an array counts the sum of its parts. Memory that values share counts once for
// each of them.
//
// weir does not measure maps, interfaces, functions, channels, recursive types
// beyond their first level, memory behind a pointer that also holds a lock, and the
// larger memory that a substring or subslice keeps alive. Use [Stream.Sized] or
// [PipeOptions].Size for such values, and for pointers to memory that other
// goroutines change, because measuring a value reads the memory that it points to.
func Bytes(n int64) Limit { return Limit{bytes: n, hasBytes: true} }

// Items limits a pipe to n values. For a Pipe[byte] a value is a byte.
func Items(n int64) Limit { return Limit{items: n, hasItems: true} }

// And returns the limit that is reached as soon as either l or m is reached.
func (l Limit) And(m Limit) Limit {
	if m.hasBytes && (!l.hasBytes || m.bytes < l.bytes) {
		l.bytes, l.hasBytes = m.bytes, true
	}
	if m.hasItems && (!l.hasItems || m.items < l.items) {
		l.items, l.hasItems = m.items, true
	}
	return l
}

// String returns the limit with its unit, for example "64 KiB" or "16 items".
func (l Limit) String() string {
	switch {
	case l.hasBytes && l.hasItems:
		return FormatBytes(l.bytes) + " and " + units.Count(l.items, "item")
	case l.hasBytes:
		return FormatBytes(l.bytes)
	case l.hasItems:
		return units.Count(l.items, "item")
	}
	return "default"
}

func (l Limit) isZero() bool { return l == Limit{} }

func (l Limit) check() error {
	if l.bytes < 0 || l.items < 0 {
		return fmt.Errorf("negative limit %v; use 0 for a rendezvous, or the zero Limit for the default", l)
	}
	return nil
}

// numbers is l as a pipe knows it.
func (l Limit) numbers() pipe.Limit {
	return pipe.Limit{Bytes: l.bytes, Items: l.items, HasBytes: l.hasBytes, HasItems: l.hasItems}
}

func limitOf(n pipe.Limit) Limit {
	return Limit{bytes: n.Bytes, items: n.Items, hasBytes: n.HasBytes, hasItems: n.HasItems}
}

const (
	defaultBytes = pipe.DefaultBytes
	maxSegment   = pipe.MaxSegment
)

// slotSize returns the size of one value of T inside a pipe, without the memory that
// it refers to.
func slotSize[T any]() int64 { return size.Slot[T]() }

func isByte[T any]() bool { return size.IsByte[T]() }

// naturalSize returns the function that says how many bytes a value of T refers
// to beyond its slot, and nil for types of which nothing can be measured:
// numbers and structs of them, but also maps and interfaces. See package size
// for the rules.
func naturalSize[T any]() func(T) int { return size.Refers[T]() }

// hasPointers reports whether values of T can keep other memory alive, so that
// slots that were read must be cleared.
func hasPointers[T any]() bool { return size.HasPointers[T]() }

// FormatBytes writes a number of bytes as people read it: "512 B", "64 KiB",
// "1.2 GiB".
func FormatBytes(n int64) string {
	return units.Bytes(n)
}
