// Package size measures how much memory a value keeps alive beyond its own
// slot: the bytes of its strings, the memory behind its slices and pointers.
//
// The shape of a type is compiled once into a short list of steps. Most steps
// read one word (the length of a string, the capacity of a slice) at a fixed
// offset and multiply it, so that a string costs about a nanosecond and a
// record of twenty fields a few tens.
//
// What is counted:
//
//   - a string counts its length;
//   - a slice counts its capacity times the size of an element, and the
//     memory that the elements up to its length refer to;
//   - a pointer that is not nil counts the size of the value it points to, and
//     the memory that this value refers to;
//   - arrays and structs count the sum of their parts.
//
// Numbers, and types whose pointers lead to memory that the whole program
// shares (time.Time, netip.Addr, unique.Handle, weak.Pointer), count nothing.
// Memory that several values share counts once for each of them. A substring
// or subslice counts its own bytes and not the larger memory that it pins.
//
// What is not covered: maps, interfaces, functions, channels, unsafe.Pointer,
// recursive types behind their first level, sync.Map, sync.Pool, and memory
// behind a pointer or slice that holds a lock or an atomic value. Another
// goroutine may change the latter at any time, so it is never read.
//
// Measuring runs no code of the user and allocates nothing. It reads memory
// behind slices and pointers without synchronization: the caller must be
// allowed to read the value, as it must be to copy it.
package size

import (
	"math"
	"reflect"
	"sync"
	"unsafe"
)

// Elsewhere is the first field of a struct whose memory is counted elsewhere,
// such as a block that a stage passes around and declares. A pointer to such a
// struct counts nothing.
type Elsewhere struct{}

// Most is the largest size that is returned: sums beyond it are cut off, so
// that a caller can add to a size without overflow.
const Most = math.MaxInt64 / 2

// Of returns the function that measures values of type T, or nil if nothing
// that a T refers to can be measured (an int, a struct of numbers, a map).
//
// covered reports whether f counts all the memory that a T keeps alive. If it
// does not, why names the first part that is left out, such as
// "field Tags (map[string]int)", and f counts the other parts.
//
// Since v is passed through a function value, a pointer to a local variable
// would move that variable to the heap; f is for values that are there already,
// such as the elements of a slice. See [Value] for the others.
//
// Of is cheap after its first call for T, and safe for concurrent use, as is f.
func Of[T any]() (f func(v *T) int64, covered bool, why string) {
	s := sizerOf[T]()
	return s.of, s.why == "", s.why
}

// Value returns the function that measures a value of type T that is passed by
// value, or nil where [Of] does. A call allocates nothing.
func Value[T any]() func(v T) int64 { return sizerOf[T]().value }

// Batch returns functions that measure the values of a slice in one go, or nil
// where [Of] does. Both are safe for concurrent use.
//
// sum returns the size of the memory that all of vs refer to, together.
//
// fill charges values from the front, each with slot and the memory it refers
// to. It stores the charge of vs[i] in costs[i], and stops before the value
// that would raise the total beyond room. It returns how many values fit and
// their total. If the next value did not fit, its charge is in costs[n], so
// that the caller can wait for room without measuring again. costs must be at
// least as long as vs. Room of [Most] is as good as unlimited.
func Batch[T any]() (sum func(vs []T) int64, fill func(vs []T, slot, room int64, costs []int64) (n int, total int64)) {
	s := sizerOf[T]()
	return s.sum, s.fill
}

// Meter measures values of one type. Unlike the functions that [Batch] returns,
// [Charges] is one that the compiler can see into, so that slices on the stack of a
// caller stay there. The zero Meter measures nothing.
type Meter struct{ m *meter }

// MeterOf returns the meter for T, which is zero where [Of] returns nil.
func MeterOf[T any]() Meter { return Meter{sizerOf[T]().m} }

// Measures reports whether there is anything to measure.
func (s Meter) Measures() bool { return s.m != nil }

// Charges charges each value with slot and the memory it refers to, stores the
// running sums, and returns the largest charge. sums must be as long as vs, and s
// the meter for T.
func Charges[T any](s Meter, vs []T, slot int64, sums []int64) (largest int64) {
	return s.charges(unsafe.Pointer(unsafe.SliceData(vs)), unsafe.Sizeof(*new(T)), slot, sums[:len(vs)])
}

// charges is Charges for len(sums) values at p, stride bytes apart.
func (s Meter) charges(p unsafe.Pointer, stride uintptr, slot int64, sums []int64) (largest int64) {
	var sum int64
	m := s.m
	if len(m.words) == 1 && len(m.deep) == 0 {
		w := m.words[0]
		for i := range sums {
			c := slot + w.read(unsafe.Add(p, uintptr(i)*stride))
			largest = max(largest, c)
			sum += c
			sums[i] = sum
		}
		return largest
	}
	for i := range sums {
		c := add(slot, m.measure(unsafe.Add(p, uintptr(i)*stride)))
		largest = max(largest, c)
		sum = add(sum, c)
		sums[i] = sum
	}
	return largest
}

// sizer holds the functions for T. All are nil if there is nothing to measure.
type sizer[T any] struct {
	of    func(*T) int64
	value func(T) int64
	sum   func([]T) int64
	fill  func([]T, int64, int64, []int64) (int, int64)
	why   string
	m     *meter
}

var sizers sync.Map // reflect.Type → *sizer[T]

func sizerOf[T any]() *sizer[T] {
	t := reflect.TypeFor[T]()
	if s, ok := sizers.Load(t); ok {
		return s.(*sizer[T])
	}
	s, _ := sizers.LoadOrStore(t, newSizer[T](t))
	return s.(*sizer[T])
}

func newSizer[T any](t reflect.Type) *sizer[T] {
	m, why := compile(t)
	s := &sizer[T]{why: why, m: m}
	if m == nil {
		return s
	}
	stride := t.Size()
	if len(m.words) == 1 && len(m.deep) == 0 {
		w := m.words[0]
		s.of = func(v *T) int64 { return w.read(unsafe.Pointer(v)) }
		s.value = func(v T) int64 { return w.read(unsafe.Pointer(&v)) }
		s.sum = func(vs []T) (n int64) {
			p := unsafe.Pointer(unsafe.SliceData(vs))
			for i := range vs {
				n = add(n, w.read(unsafe.Add(p, uintptr(i)*stride)))
			}
			return n
		}
		s.fill = func(vs []T, slot, room int64, costs []int64) (n int, total int64) {
			p := unsafe.Pointer(unsafe.SliceData(vs))
			costs = costs[:len(vs)]
			for i := range costs {
				c := add(slot, w.read(unsafe.Add(p, uintptr(i)*stride)))
				costs[i] = c
				if c > room-total {
					return i, total
				}
				total += c
			}
			return len(vs), total
		}
		return s
	}
	s.of = func(v *T) int64 { return m.measure(unsafe.Pointer(v)) }
	s.value = func(v T) int64 { return m.measure(unsafe.Pointer(&v)) }
	s.sum = func(vs []T) (n int64) {
		return m.measureMany(unsafe.Pointer(unsafe.SliceData(vs)), len(vs), stride)
	}
	s.fill = func(vs []T, slot, room int64, costs []int64) (n int, total int64) {
		p := unsafe.Pointer(unsafe.SliceData(vs))
		costs = costs[:len(vs)]
		for i := range costs {
			c := add(slot, m.measure(unsafe.Add(p, uintptr(i)*stride)))
			costs[i] = c
			if c > room-total {
				return i, total
			}
			total += c
		}
		return len(vs), total
	}
	return s
}

// add adds two sizes. Neither is negative nor larger than Most, so the sum
// cannot overflow before it is cut off.
func add(a, b int64) int64 { return min(a+b, Most) }

// meter is a compiled type: the steps that measure a value of it. Nested
// structs and short arrays are flattened into the meter of the outer type.
type meter struct {
	words []word
	deep  []step
}

func (m *meter) empty() bool { return len(m.words) == 0 && len(m.deep) == 0 }

// word is a step that reads the length of a string or the capacity of a slice.
// It is not larger than the address space allows, times the size of an element
// not larger than the memory that exists, so the product cannot overflow.
type word struct {
	off uintptr
	mul int64
}

func (w word) read(v unsafe.Pointer) int64 {
	return int64(*(*int)(unsafe.Add(v, w.off))) * w.mul
}

// step is a step that needs more than one word.
type step struct {
	off  uintptr
	kind stepKind
	n    int     // stepArray: its length
	size uintptr // of an element, or of the value that is pointed to
	sub  *meter  // for an element, or for the value that is pointed to; nil if flat
}

type stepKind uint8

const (
	stepPointer stepKind = iota
	stepSlice            // the memory of the elements' references; the slice's own memory is a word
	stepArray
)

// sliceHeader is how a slice lies in memory.
type sliceHeader struct {
	data     unsafe.Pointer
	len, cap int
}

// measure returns the size of the memory that the value at v refers to. It
// calls no function values, so that v does not escape.
func (m *meter) measure(v unsafe.Pointer) (n int64) {
	for _, w := range m.words {
		n += w.read(v)
	}
	n = min(n, Most)
	for i := range m.deep {
		s := &m.deep[i]
		at := unsafe.Add(v, s.off)
		switch s.kind {
		case stepPointer:
			if p := *(*unsafe.Pointer)(at); p != nil {
				n = add(n, int64(s.size))
				if s.sub != nil {
					n = add(n, s.sub.measure(p))
				}
			}
		case stepSlice:
			h := (*sliceHeader)(at)
			n = add(n, s.sub.measureMany(h.data, h.len, s.size))
		case stepArray:
			n = add(n, s.sub.measureMany(at, s.n, s.size))
		}
	}
	return n
}

// measureMany returns the size of the memory that n values of the given size
// from p on refer to, together.
func (m *meter) measureMany(p unsafe.Pointer, n int, size uintptr) (sum int64) {
	if len(m.words) == 1 && len(m.deep) == 0 {
		w := m.words[0]
		for i := range n {
			sum = add(sum, w.read(unsafe.Add(p, uintptr(i)*size)))
		}
		return sum
	}
	for i := range n {
		sum = add(sum, m.measure(unsafe.Add(p, uintptr(i)*size)))
	}
	return sum
}
