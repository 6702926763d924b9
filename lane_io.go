package weir

import (
	"context"
	"errors"
	"io"
	"sync"
	"time"

	"github.com/weir-go/weir/internal/clock"
	"github.com/weir-go/weir/internal/pipe"
)

// laneReader is the input of a stage that reads: the pipe in front of its lane.
type laneReader[T any] struct {
	sp     *spot
	p      *pipe.Pipe[T]
	failed error // the error that ended the pipe; nil at its regular end
}

// Read takes at most maxSegment bytes of values, or one value: the pipe no
// longer charges values that the stage has read.
func (r *laneReader[T]) Read(dst []T) (int, error) {
	n, _, _, err := r.p.ReadUpTo(r.sp.ln.ctx, &r.sp.ln.Clock, dst, r.most())
	r.sp.st.in.Add(int64(n))
	return n, r.note(err)
}

func (r *laneReader[T]) most() int64 {
	if !r.p.Gate().Measures() {
		return pipe.NoMost
	}
	return maxSegment
}

func (r *laneReader[T]) note(err error) error {
	if err != nil && err != io.EOF {
		if cause := context.Cause(r.sp.ln.ctx); cause != nil {
			err = cause
		}
		r.failed = err
	}
	return err
}

// WriteTo makes a laneReader[byte] an io.WriterTo that copies nothing: w gets
// the pipe's own memory.
func (r *laneReader[T]) WriteTo(w io.Writer) (int64, error) {
	p, ok := any(r.p).(*pipe.Pipe[byte])
	if !ok {
		return 0, errNotBytes
	}
	n, ours, err := pipe.CopyTo(r.sp.ln.ctx, &r.sp.ln.Clock, p, w, func(n int) { r.sp.st.in.Add(int64(n)) })
	if ours {
		err = r.note(err)
	}
	return n, err
}

var errNotBytes = errors.ErrUnsupported

// laneWriter is the output of a stage that writes.
type laneWriter[T any] struct {
	sp  *spot
	out link[T]
}

func (w *laneWriter[T]) Write(batch []T) (int, error) {
	ln := w.sp.ln
	if err := ln.ended(); err != nil || len(batch) == 0 {
		return 0, err
	}
	w.sp.st.out.Add(int64(len(batch)))
	err := w.out.push(batch)
	if w.out.fused {
		ln.Back(w.sp.busy)
	}
	if err != nil {
		if ln.broken == nil {
			ln.broken = err
		}
		return 0, err
	}
	return len(batch), nil
}

// ReadFrom makes a laneWriter[byte] an io.ReaderFrom that lets r fill the next
// pipe's memory directly.
func (w *laneWriter[T]) ReadFrom(r io.Reader) (sum int64, err error) {
	br, ok := any(bytesReader{r}).(Reader[T])
	if !ok {
		return 0, errNotBytes
	}
	err = pump(w.sp, br, w.out, w.sp.busy, func(n int) { sum += int64(n) })
	if err == io.EOF {
		err = nil
	}
	return sum, err
}

// Blocked calls wait and counts its time as blocked. See [Stage].
func (w *laneWriter[T]) Blocked(wait func()) {
	ln := w.sp.ln
	ln.Enter(ln.Blocked())
	defer ln.Enter(w.sp.busy)
	wait()
}

type bytesReader struct{ io.Reader }

// chunkLen returns how many values of T a source reads or makes at once.
func chunkLen[T any]() int {
	const bytes, items = 64 << 10, 2048
	n := int(bytes / slotSize[T]())
	if !isByte[T]() {
		n = min(n, items)
	}
	return max(n, 1)
}

// scratchHolds returns the most bytes that a stage holds if it gathers values
// of T in a chunk until they are charged maxSegment bytes. The last value of
// the chunk is not included.
func scratchHolds[T any]() int64 {
	n := int64(chunkLen[T]()) * slotSize[T]()
	if naturalSize[T]() != nil {
		n += maxSegment
	}
	return n
}

var byteChunks = sync.Pool{New: func() any { b := make([]byte, maxSegment); return &b }}

// scratch returns a chunk of memory to work in, and a function that gives it
// back.
func scratch[T any]() (buf []T, free func()) {
	if isByte[T]() {
		b := byteChunks.Get().(*[]byte)
		return any(*b).([]T), func() { byteChunks.Put(b) }
	}
	return make([]T, chunkLen[T]()), func() {}
}

// pump moves values from r to out until r ends, and returns the error r ended
// with, io.EOF included. The lane's clock is at place while r reads. If out is
// a pipe of values that are all of one size, r fills its memory.
func pump[T any](sp *spot, r Reader[T], out link[T], place int32, moved func(int)) error {
	ln := sp.ln
	var buf []T
	if out.pipe == nil || out.pipe.Gate().Measures() {
		var free func()
		buf, free = scratch[T]()
		defer free()
	}
	in := buf != nil
	dst := portion[T]{buf: buf, size: out.size, most: out.most}
	bounded, isBounded := r.(boundedReader[T])
	for empty := 0; ; {
		if !in {
			var err error
			if buf, err = out.pipe.Reserve(ln.ctx, &ln.Clock, chunkLen[T]()); err != nil {
				ln.broken = err
				return err
			}
		}
		if place != sp.busy {
			ln.Enter(place)
		}
		n, err := 0, ln.ended()
		switch {
		case err != nil:
		case !in:
			n, err = read(r, buf)
		case isBounded && out.size != nil:
			n, err = bounded.readUpTo(dst.all(), maxSegment, out.size)
		default:
			n, err = dst.read(r)
		}
		if place != sp.busy {
			ln.Enter(sp.busy)
		}
		var perr error
		if n > 0 {
			sp.st.out.Add(int64(n))
			moved(n)
		}
		switch {
		case !in:
			perr = out.pipe.Gate().Commit(n)
		case n > 0:
			perr = out.push(buf[:n])
			if out.fused {
				ln.Back(sp.busy)
			}
			dst.clear(n)
		}
		if perr != nil {
			ln.broken = perr
			return perr
		}
		if err != nil {
			return err
		}
		if n == 0 {
			if empty++; empty == 100 {
				return io.ErrNoProgress
			}
			continue
		}
		empty = 0
	}
}

// boundedReader is a reader that takes no more than most bytes of values at once,
// or one value that is larger, where Read would take as many as there is room for.
type boundedReader[T any] interface {
	readUpTo(dst []T, most int64, size func(*T) int64) (int, error)
}

// portion is the part of a buffer that a source is asked to fill. A source that
// fills it with values of any size has made them before anybody can measure them.
// So it is asked for one, and then for more, twice as many each time, as long as
// that many of the largest that it has made are at most maxSegment bytes.
type portion[T any] struct {
	buf     []T
	size    func(*T) int64 // nil: they are all of one size
	most    int            // values; 0: as many as there is room for
	n       int            // how many it was asked for last
	largest int64
}

// all returns the buffer without regard to the size of values.
func (p *portion[T]) all() []T {
	if p.most > 0 {
		return p.buf[:min(p.most, len(p.buf))]
	}
	return p.buf
}

func (p *portion[T]) read(r Reader[T]) (int, error) {
	buf := p.all()
	if p.size == nil {
		return read(r, buf)
	}
	p.n = min(max(1, 2*p.n), len(buf))
	if p.largest > 0 {
		p.n = int(max(1, min(int64(p.n), maxSegment/p.largest)))
	}
	n, err := read(r, buf[:p.n])
	for i := range buf[:n] {
		p.largest = max(p.largest, p.size(&buf[i]))
	}
	return n, err
}

// clear releases the n values that were passed on.
func (p *portion[T]) clear(n int) {
	if p.size != nil {
		clear(p.buf[:n])
	}
}

// read gives the reserved memory back also when r panics: nothing to do, the
// pipe is closed with the lane.
func read[T any](r Reader[T], buf []T) (int, error) {
	n, err := r.Read(buf)
	if n < 0 || n > len(buf) {
		return 0, errBadRead
	}
	return n, err
}

var errBadRead = errors.New("Read returned an impossible count")

// readUntil is Read that gives up, with no values and no error, when due
// fires.
func (r *laneReader[T]) readUntil(dst []T, due <-chan time.Time) (int, error) {
	if due == nil {
		return r.Read(dst)
	}
	ln := r.sp.ln
	for {
		n, err := r.p.TryRead(dst, r.most())
		if err != ErrEmpty {
			r.sp.st.in.Add(int64(n))
			return n, r.note(err)
		}
		back := ln.Switch(ln.Starved(), clock.Now())
		r.p.Gate().Ask(len(dst))
		over := false
		select {
		case <-r.p.Gate().ReadReady():
		case <-due:
			over = true
		case <-ln.ctx.Done():
			over = true
		}
		r.p.Gate().Ask(-len(dst))
		ln.Enter(back)
		if over {
			return 0, r.note(context.Cause(ln.ctx))
		}
	}
}

// Reader is where values come from. A Reader[byte] is an [io.Reader], and the
// rules are the same: Read waits for at least one value, moves the available
// values into dst and returns how many. It returns [io.EOF] at the end, and
// must not keep dst.
type Reader[T any] interface {
	Read(dst []T) (n int, err error)
}

// Writer is where values go. A Writer[byte] is an [io.Writer], and the rules
// are the same: Write takes all of batch or returns an error, and must neither
// change nor keep it.
type Writer[T any] interface {
	Write(batch []T) (n int, err error)
}
