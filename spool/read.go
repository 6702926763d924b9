package spool

import (
	"fmt"
	"io"
	"os"

	"github.com/weir-go/weir"
)

// reader reads a log from an offset on. One goroutine uses it.
type reader struct {
	l      *Log
	f      *os.File // the segment; nil: to be found
	number int64
	pos    int64 // of the next frame in f
	off    int64 // of the next byte in the log
	buf    []byte
	left   []byte // of a frame that was read
	guess  int    // the size of the next frame
}

func newReader(l *Log, off int64) *reader {
	return &reader{l: l, off: off, buf: make([]byte, frameMemory), guess: frameMemory}
}

// try moves available bytes to dst. It returns weir.ErrEmpty if there are none, and
// io.EOF if there will be none.
func (r *reader) try(dst []byte) (int, error) {
	if len(r.left) == 0 {
		l := r.l
		l.mu.Lock()
		limit, ended := l.durable, l.ended
		l.mu.Unlock()
		switch {
		case r.off < limit:
			if err := r.next(); err != nil {
				return 0, err
			}
		case l.mode == modeBuffer && r.steal():
		case ended:
			return 0, io.EOF
		default:
			return 0, weir.ErrEmpty
		}
	}
	n := copy(dst, r.left)
	r.left = r.left[n:]
	r.off += int64(n)
	return n, nil
}

// steal takes the frame that is about to be written, if it is the next one.
func (r *reader) steal() bool {
	l := r.l
	l.writing.Lock()
	defer l.writing.Unlock()
	n := len(l.pending) - frameLen
	if n == 0 || r.off != l.written {
		return false
	}
	r.left = l.pending[frameLen:]
	l.pending, r.buf = r.buf[:frameLen], l.pending[:cap(l.pending)]
	l.mu.Lock()
	l.written += int64(n)
	l.durable = l.written
	l.held = 0
	l.mu.Unlock()
	return true
}

// next reads the frame with the byte at off, which is there.
func (r *reader) next() error {
	for {
		if r.f == nil {
			if err := r.find(); err != nil {
				return err
			}
		}
		n, err := r.f.ReadAt(r.buf[:r.guess], r.pos)
		if err != nil && err != io.EOF {
			return r.l.doing("read", r.number, err)
		}
		if n == 0 {
			if err := r.leave(); err != nil {
				return err
			}
			continue
		}
		f, err := parseFrame(r.buf[:n], &r.l.id)
		if err != nil {
			return damaged(r.number, r.pos, err)
		}
		at := r.pos
		r.pos += frameLen + int64(f.length)
		switch {
		case f.kind == kindCheck, f.offset+int64(f.length) <= r.off:
			continue
		case f.offset > r.off:
			return damaged(r.number, at, fmt.Errorf("frame of offset %d; offset %d is missing", f.offset, r.off))
		}
		r.guess = frameLen + f.length
		if n < r.guess {
			if _, err := r.f.ReadAt(r.buf[n:r.guess], at+int64(n)); err == io.EOF {
				return damaged(r.number, at, errShort)
			} else if err != nil {
				return r.l.doing("read", r.number, err)
			}
		}
		contents := r.buf[frameLen:r.guess]
		if sum(contents) != f.sum {
			return damaged(r.number, at, errFrameSum)
		}
		r.left = contents[r.off-f.offset:]
		return nil
	}
}

// find opens the segment with the byte at off.
func (r *reader) find() error {
	l := r.l
	l.mu.Lock()
	var found segment
	for _, s := range l.segments {
		if s.first <= r.off {
			found = s
		}
	}
	l.mu.Unlock()
	f, err := os.Open(l.path(found.number))
	if err != nil {
		return l.doing("open", found.number, err)
	}
	r.f, r.number, r.pos = f, found.number, headLen
	return nil
}

// leave moves from the end of a segment to the next one.
func (r *reader) leave() error {
	l := r.l
	l.mu.Lock()
	var end, first int64 = -1, -1
	for _, s := range l.segments {
		switch s.number {
		case r.number:
			end = s.size
		case r.number + 1:
			first = s.first
		}
	}
	l.mu.Unlock()
	if first < 0 || first != r.off || end >= 0 && end != r.pos {
		return damaged(r.number, r.pos, errShort)
	}
	r.close()
	if l.mode == modeBuffer {
		return l.free(r.off)
	}
	return nil
}

func (r *reader) close() {
	if r.f != nil {
		r.f.Close()
		r.f = nil
	}
}
