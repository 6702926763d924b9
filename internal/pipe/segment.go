package pipe

import (
	"reflect"
	"sync"
)

// segment is a piece of a pipe's memory: values buf[r:w] wait to be read.
type segment[T any] struct {
	buf []T
	span
	next *segment[T]
}

// span is what a [Gate] knows of a segment. It has no methods, which each type of
// segment would get.
type span struct {
	r, w, size int     // values r to w of size slots wait to be read
	sums       []int64 // the charge of all values up to each one; only in pipes with a size function
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

// Segments are pooled by type and length across pipes: a server with a
// thousand flows reuses the memory of those that are idle, a pipe that swings
// between full and empty allocates nothing, and the garbage collector takes
// back unused ones.
type poolKey struct {
	t     reflect.Type
	n     int
	sized bool
}

var segmentPools sync.Map // poolKey → *sync.Pool

func segmentPool[T any](n int, sized bool) *sync.Pool {
	return poolOf(poolKey{reflect.TypeFor[T](), n, sized}, func() any {
		s := &segment[T]{buf: make([]T, n), span: span{size: n}}
		if sized {
			s.sums = make([]int64, n)
		}
		return s
	})
}

func poolOf(key poolKey, create func() any) *sync.Pool {
	if p, ok := segmentPools.Load(key); ok {
		return p.(*sync.Pool)
	}
	p, _ := segmentPools.LoadOrStore(key, &sync.Pool{New: create})
	return p.(*sync.Pool)
}
