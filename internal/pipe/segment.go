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
