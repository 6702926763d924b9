package weir

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math"
	"slices"
	"sync/atomic"
)

// ErrLineTooLong is the cause when a line is longer than allowed.
var ErrLineTooLong = errors.New("weir: line is too long")

// LongLine says what [Lines], [Grep] and [GrepOut] do with a line that is longer
// than the maximum.
type LongLine int

const (
	FailLong LongLine = iota // end the flow with ErrLineTooLong
	CutLong                  // keep the beginning, leave out the rest
	SkipLong                 // leave the line out, and count it as dropped
)

// LineOption changes how [Lines], [Grep] and [GrepOut] treat lines.
type LineOption func(*lineLimit)

// lineLimit is the maximum line, and the policy for longer ones.
type lineLimit struct {
	most int // bytes of a line without its end
	long LongLine
}

// MaxLine sets the maximum length of a line, in bytes without its end, and what
// happens to longer ones. The default is 1 MiB and FailLong.
func MaxLine(n int, long LongLine) LineOption {
	return func(l *lineLimit) { *l = lineLimit{n, long} }
}

func lineLimitOf(opts []LineOption) (l lineLimit, err error) {
	l.most = defaultRecord
	for _, o := range opts {
		o(&l)
	}
	if l.most < 1 || l.long < FailLong || l.long > SkipLong {
		err = fmt.Errorf("a maximum line of %d bytes (policy %d): use 1 or more, and FailLong, CutLong or SkipLong", l.most, l.long)
	}
	l.most = min(l.most, math.MaxInt-2)
	return l, err
}

// lineBuffer has the beginning of a line that is not complete.
type lineBuffer struct {
	lineLimit
	part []byte
	over bool  // the line is too long, and the rest is to be left out
	line int64 // lines that are complete
	at   int64 // offset of the current line

	taken int64 // offset behind what was taken
}

// ended begins the next line.
func (b *lineBuffer) ended() {
	b.part, b.over = b.part[:0], false
	b.line++
	b.at = b.taken
}

// keep adds p to the line. One byte more than the maximum may be a carriage
// return.
func (b *lineBuffer) keep(p []byte) error {
	if room := b.most + 1 - len(b.part); len(p) > room {
		b.over = true
		if b.long == FailLong {
			return b.tooLong()
		}
		p = p[:max(0, room)]
	}
	b.part = hold(b.part, p, b.most+2)
	return nil
}

func (b *lineBuffer) tooLong() error {
	return &LimitError{
		Err: ErrLineTooLong, Option: "MaxLine", Max: int64(b.most),
		Detail: fmt.Sprintf("line %d (at byte %d) is longer than %s", b.line+1, b.at, exactBytes(int64(b.most))),
	}
}

// Lines cuts a stream of bytes into lines, without their ends, which are "\n" or
// "\r\n". What follows the last end is a line too, unless it is empty. The
// lines of a chunk are handed on together and at once. A line longer than
// [MaxLine] ends the flow, unless that says otherwise, with [ErrLineTooLong]
// behind the lines before it.
func Lines(s Stream[byte], opts ...LineOption) Stream[string] {
	limit, err := lineLimitOf(opts)
	st := Stage[byte, string]{Name: "lines", Err: err, beyond: -1}
	// The beginning of a line and the string made of it; a batch of short lines.
	st.Holds = 2*countable(int64(limit.most)) + int64(chunkLen[string]())*slotSize[string]() + maxSegment
	st.Open = func(context.Context) (Transform[byte, string], error) {
		return &lineSplitter{lineBuffer: lineBuffer{lineLimit: limit}}, nil
	}
	return Via(s, st)
}

type lineSplitter struct {
	lineBuffer
	out  []string
	held int // bytes of the lines in out

	dropped *atomic.Int64
}

func (t *lineSplitter) countDrops(n *atomic.Int64) { t.dropped = n }

func (t *lineSplitter) Do(_ context.Context, in []byte, emit func([]string) error) error {
	if t.out == nil {
		t.out = make([]string, 0, chunkLen[string]())
	}
	var err error
	for len(in) > 0 {
		i := bytes.IndexByte(in, '\n')
		if i < 0 {
			err = t.keep(in)
			t.taken += int64(len(in))
			break
		}
		line := in[:i]
		in = in[i+1:]
		if len(t.part) > 0 || t.over {
			if err = t.keep(line); err != nil {
				break
			}
			line = t.part
		}
		t.taken += int64(i) + 1
		if err = t.add(line); err != nil {
			break
		}
		if len(t.out) == cap(t.out) || t.held >= maxSegment {
			if err := t.hand(emit); err != nil {
				return err
			}
		}
	}
	if eerr := t.hand(emit); eerr != nil {
		return eerr
	}
	return err
}

// hand hands on the lines that are complete.
func (t *lineSplitter) hand(emit func([]string) error) error {
	err := emit(t.out)
	clear(t.out)
	t.out, t.held = t.out[:0], 0
	return err
}

// add ends a line.
func (t *lineSplitter) add(line []byte) error {
	if n := len(line); n > 0 && line[n-1] == '\r' && !t.over {
		line = line[:n-1]
	}
	if t.over || len(line) > t.most {
		switch t.long {
		case FailLong:
			return t.tooLong()
		case SkipLong:
			t.dropped.Add(1)
			t.ended()
			return nil
		}
		line = line[:t.most]
	}
	t.out = append(t.out, string(line))
	t.held += len(line)
	t.ended()
	return nil
}

func (t *lineSplitter) Flush(_ context.Context, emit func([]string) error) error {
	if len(t.part) == 0 && !t.over {
		return nil
	}
	if err := t.add(t.part); err != nil {
		return err
	}
	return t.hand(emit)
}

// JoinLines writes each value as a line that ends in "\n".
func JoinLines(s Stream[string]) Stream[byte] {
	return encode(s, "join lines", func() func([]byte, string) ([]byte, error) {
		return func(buf []byte, line string) ([]byte, error) {
			return append(append(slices.Grow(buf, len(line)+1), line...), '\n'), nil
		}
	})
}

// encode turns each value into bytes that a function appends to buf. Each run
// gets a function of its own from start.
func encode[T any](s Stream[T], name string, start func() func(buf []byte, v T) ([]byte, error)) Stream[byte] {
	return Via(s, Stage[T, byte]{
		Name:  name,
		Holds: 2 * maxSegment,
		texts: 3, // of a large value, and as much again and more while the buffer grows
		Open:  func(context.Context) (Transform[T, byte], error) { return &encoder[T]{f: start()}, nil },
	})
}

type encoder[T any] struct {
	f   func([]byte, T) ([]byte, error)
	buf []byte
}

func (e *encoder[T]) Do(_ context.Context, in []T, emit func([]byte) error) error {
	buf := e.buf[:0]
	for _, v := range in {
		next, err := e.f(buf, v)
		if err != nil {
			return errors.Join(emit(buf), err)
		}
		buf = next
		if len(buf) >= maxSegment {
			if err := emit(buf); err != nil {
				return err
			}
			if cap(buf) > 2*maxSegment {
				buf = nil // one large value must not pin its memory
			}
			buf = buf[:0]
		}
	}
	e.buf = buf
	return emit(buf)
}

func (e *encoder[T]) Flush(context.Context, func([]byte) error) error { return nil }
