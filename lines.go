package weir

import (
	"context"
	"errors"
	"fmt"
	"math"
	"slices"
	"sync/atomic"

	"github.com/weir-go/weir/internal/grow"
	"github.com/weir-go/weir/internal/units"
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
	start textStart
	part  []byte // without cr
	cr    bool   // a "\r" follows part, which ends the line, alone or with a "\n"
	over  bool   // the line is too long, and the rest is to be left out
	line  int64  // lines that are complete
	at    int64  // offset of the current line

	taken int64 // offset behind what was taken
}

// ended begins the next line.
func (b *lineBuffer) ended() {
	b.part, b.over = b.part[:0], false
	b.line++
	b.at = b.taken
}

// keep adds p to the line.
func (b *lineBuffer) keep(p []byte) error {
	if room := b.most - len(b.part); len(p) > room {
		b.over = true
		if b.long == FailLong {
			return b.tooLong()
		}
		p = p[:room]
	}
	b.part = grow.Append(b.part, p, b.most+2)
	return nil
}

var (
	endCR   = []byte("\r")
	endCRLF = []byte("\r\n")
)

// begin takes what comes first of a text.
func (b *lineBuffer) begin(in []byte) ([]byte, error) {
	text, left, err := b.start.take(in)
	if left > 0 {
		b.taken = int64(left)
		b.at = b.taken
	}
	return text, err
}

// cut calls f with every line that ends in in. Such a line lies at in[from:to],
// to being behind its end; if it began before in, from is negative. What is left
// of in is kept.
func (b *lineBuffer) cut(in []byte, f func(line, end []byte, from, to int) error) error {
	if len(in) == 0 {
		return nil
	}
	e := lineEnds{in: in, lf: -1}
	if b.cr {
		b.cr = false
		end := endCR
		if in[0] == '\n' {
			end, e.at = endCRLF, 1
			b.taken++
		}
		if err := f(b.part, end, -1, e.at); err != nil {
			return err
		}
		b.ended()
	}
	for {
		from := e.at
		line, to, ok, half := e.next()
		b.taken += int64(to - from)
		if !ok {
			b.cr = half
			return b.keep(line)
		}
		end := in[from+len(line) : to]
		if len(b.part) > 0 || b.over {
			if err := b.keep(line); err != nil {
				return err
			}
			line, from = b.part, -1
		}
		if err := f(line, end, from, to); err != nil {
			return err
		}
		b.ended()
	}
}

// last calls f with what follows the last end.
func (b *lineBuffer) last(f func(line, end []byte, from, to int) error) error {
	if err := b.cut(b.start.rest(), f); err != nil {
		return err
	}
	switch {
	case b.cr:
		return f(b.part, endCR, -1, 0)
	case len(b.part) > 0 || b.over:
		return f(b.part, nil, -1, 0)
	}
	return nil
}

func (b *lineBuffer) tooLong() error {
	return &LimitError{
		Err: ErrLineTooLong, Option: "MaxLine", Max: int64(b.most),
		Detail: fmt.Sprintf("line %d (at byte %d) is longer than %s", b.line+1, b.at, units.Exact(int64(b.most))),
	}
}

// Lines cuts a stream of bytes into lines, without their ends, which are "\n",
// "\r\n" or "\r" alone. What follows the last end is a line too, unless it is
// empty. A UTF-8 byte order mark at the beginning is no part of the first line; a
// text that begins with that of UTF-16 ends the flow with [ErrInvalidUTF8]. All
// other bytes of a line are kept as they are, whatever its encoding.
//
// The lines of a chunk are handed on together and at once. A line that ends in
// "\r" at the end of a chunk is handed on with the next chunk, since "\n" may
// follow. A line longer than [MaxLine] ends the flow, unless that says otherwise,
// with a [*LimitError] that matches [ErrLineTooLong], behind the lines before it.
func Lines(s Stream[byte], opts ...LineOption) Stream[string] {
	limit, err := lineLimitOf(opts)
	st := Stage[byte, string]{Name: "lines", Err: err, beyond: -1}
	// The beginning of a line and the string made of it; a batch of short lines.
	st.Holds = 2*grow.Countable(int64(limit.most)) + int64(chunkLen[string]())*slotSize[string]() + maxSegment
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
	in, err := t.begin(in)
	if err != nil {
		return err
	}
	err = t.cut(in, func(line, _ []byte, _, _ int) error { return t.add(line, emit) })
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

// add takes a line.
func (t *lineSplitter) add(line []byte, emit func([]string) error) error {
	if t.over || len(line) > t.most {
		switch t.long {
		case FailLong:
			return t.tooLong()
		case SkipLong:
			t.dropped.Add(1)
			return nil
		}
		line = line[:t.most]
	}
	t.out = append(t.out, string(line))
	t.held += len(line)
	if len(t.out) == cap(t.out) || t.held >= maxSegment {
		return t.hand(emit)
	}
	return nil
}

func (t *lineSplitter) Flush(_ context.Context, emit func([]string) error) error {
	err := t.last(func(line, _ []byte, _, _ int) error { return t.add(line, emit) })
	if eerr := t.hand(emit); eerr != nil {
		return eerr
	}
	return err
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
