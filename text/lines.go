package text

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math"
	"slices"

	"github.com/weir-go/weir"
	"github.com/weir-go/weir/internal/chars"
	"github.com/weir-go/weir/internal/grow"
	"github.com/weir-go/weir/internal/units"
)

// chunk is how many lines are passed on at once.
const chunk = 2048

// ErrLineTooLong is the cause when a line is longer than allowed.
var ErrLineTooLong = errors.New("line too long")

// LineOption changes how [Lines], [Grep] and [GrepOut] treat lines.
type LineOption func(*lineLimit)

// lineLimit is the maximum line, and the policy for longer ones.
type lineLimit struct {
	most int // bytes of a line without its end
	long longLine
}

type longLine int

const (
	failLong longLine = iota
	cutLong
	skipLong
)

// MaxLine sets the maximum length of a line, in bytes without its end. The default
// is 1 MiB. A longer line ends the flow with [ErrLineTooLong], unless [CutLong] or
// [SkipLong] is given.
func MaxLine(n int) LineOption { return func(l *lineLimit) { l.most = n } }

// CutLong keeps the beginning of a line that is too long, and leaves out the rest.
func CutLong() LineOption { return func(l *lineLimit) { l.long = cutLong } }

// SkipLong leaves out lines that are too long, and counts them as dropped.
func SkipLong() LineOption { return func(l *lineLimit) { l.long = skipLong } }

func lineLimitOf(opts []LineOption) (l lineLimit, err error) {
	l.most = 1 << 20
	for _, o := range opts {
		o(&l)
	}
	if l.most < 1 {
		err = fmt.Errorf("invalid maximum line of %s; use 1 or more", units.Count(int64(l.most), "byte"))
	}
	l.most = min(l.most, math.MaxInt-2)
	return l, err
}

// lineBuffer has the beginning of a line that is not complete.
type lineBuffer struct {
	lineLimit
	start chars.Start
	part  []byte // without cr
	cr    bool   // a "\r" follows part, which ends the line, alone or with a "\n"
	over  bool   // the line is too long, and the rest is to be left out
	line  int64  // lines that are complete
	at    int64  // offset of the current line

	taken int64 // offset behind the bytes that were taken
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
		if b.long == failLong {
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

// begin handles the first bytes of a text, which can be a byte order mark.
func (b *lineBuffer) begin(in []byte) ([]byte, error) {
	text, left, err := b.start.Take(in)
	if left > 0 {
		b.taken = int64(left)
		b.at = b.taken
	}
	return text, err
}

// cut calls f with every line that ends in in. Such a line lies at in[from:to],
// to being behind its end; if it began before in, from is negative. The rest of
// in is kept.
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

// last calls f with the text behind the last end.
func (b *lineBuffer) last(f func(line, end []byte, from, to int) error) error {
	if err := b.cut(b.start.Rest(), f); err != nil {
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
	return &weir.LimitError{
		Err: ErrLineTooLong, Option: "MaxLine", Max: int64(b.most),
		Detail: fmt.Sprintf("line %d (at byte %d) is longer than %s", b.line+1, b.at, units.Exact(int64(b.most))),
	}
}

// Lines splits a stream of bytes into lines, without their ends, which are "\n",
// "\r\n" or "\r" alone. Text after the last end is a line too, unless it is empty. A
// UTF-8 byte order mark at the beginning is not part of the first line. A text that
// begins with the mark of UTF-16 ends the flow with [ErrInvalidUTF8]. Lines keeps
// all other bytes of a line unchanged, whatever the encoding.
//
// Lines passes on the lines of a chunk together and at once. A line that ends in
// "\r" at the end of a chunk waits for the next chunk, because "\n" could follow. A
// line longer than [MaxLine] ends the flow after the lines before it, with a
// [*weir.LimitError] that matches [ErrLineTooLong], unless [CutLong] or [SkipLong]
// is given.
func Lines(s weir.Stream[byte], opts ...LineOption) weir.Stream[string] {
	limit, err := lineLimitOf(opts)
	st := weir.Stage[byte, string]{Name: "lines", Err: err, Holders: -1}
	// The beginning of a line and the string made of it; a batch of short lines.
	st.Holds = 2*grow.Countable(int64(limit.most)) + chunk*16 + segment
	st.Open = func(context.Context) (weir.Transform[byte, string], error) {
		return &lineSplitter{lineBuffer: lineBuffer{lineLimit: limit}}, nil
	}
	return weir.Via(s, st)
}

type lineSplitter struct {
	lineBuffer
	out     []string
	held    int   // bytes of the lines in out
	dropped int64 // lines that were left out since the last report of them
}

func (t *lineSplitter) Do(ctx context.Context, in []byte, emit func([]string) error) error {
	if t.out == nil {
		t.out = make([]string, 0, chunk)
	}
	in, err := t.begin(in)
	if err != nil {
		return err
	}
	err = t.cut(in, func(line, _ []byte, _, _ int) error { return t.add(line, emit) })
	t.tell(ctx)
	if eerr := t.hand(emit); eerr != nil {
		return eerr
	}
	return err
}

// tell reports the lines that were left out.
func (t *lineSplitter) tell(ctx context.Context) {
	weir.CountDropped(ctx, t.dropped)
	t.dropped = 0
}

// hand passes on the lines that are complete.
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
		case failLong:
			return t.tooLong()
		case skipLong:
			t.dropped++
			return nil
		}
		line = line[:t.most]
	}
	t.out = append(t.out, string(line))
	t.held += len(line)
	if len(t.out) == cap(t.out) || t.held >= segment {
		return t.hand(emit)
	}
	return nil
}

func (t *lineSplitter) Flush(ctx context.Context, emit func([]string) error) error {
	err := t.last(func(line, _ []byte, _, _ int) error { return t.add(line, emit) })
	t.tell(ctx)
	if eerr := t.hand(emit); eerr != nil {
		return eerr
	}
	return err
}

// Join writes each value as a line that ends in "\n".
func Join(s weir.Stream[string]) weir.Stream[byte] {
	return weir.Via(s, weir.Stage[string, byte]{
		Name:  "join lines",
		Holds: 2 * segment,
		// Of a large line: a copy, and as much again and half of it while the buffer
		// grows.
		Copies: 3,
		Open:   func(context.Context) (weir.Transform[string, byte], error) { return &joiner{}, nil },
	})
}

type joiner struct{ buf []byte }

func (j *joiner) Do(_ context.Context, in []string, emit func([]byte) error) error {
	buf := j.buf[:0]
	for _, line := range in {
		buf = append(append(slices.Grow(buf, len(line)+1), line...), '\n')
		if len(buf) >= segment {
			if err := emit(buf); err != nil {
				return err
			}
			if cap(buf) > 2*segment {
				buf = nil // one long line must not pin its memory
			}
			buf = buf[:0]
		}
	}
	j.buf = buf
	return emit(buf)
}

func (j *joiner) Flush(context.Context, func([]byte) error) error { return nil }

// lineEnds finds the ends of lines in a piece of text: "\n", "\r\n", or "\r"
// alone.
type lineEnds struct {
	in []byte
	at int // where the next line begins
	lf int // the next "\n" from at on; len(in) if there is none, -1 if it is not known
}

// next returns the next line and where the one behind it begins. ok is false if
// no line ends in the rest of the text. If that ends in "\r", which may be half
// of an end, half is true; line is the text before it.
func (e *lineEnds) next() (line []byte, end int, ok, half bool) {
	if e.lf < e.at {
		if i := bytes.IndexByte(e.in[e.at:], '\n'); i >= 0 {
			e.lf = e.at + i
		} else {
			e.lf = len(e.in)
		}
	}
	line = e.in[e.at:e.lf]
	if i := bytes.IndexByte(line, '\r'); i >= 0 {
		line = line[:i]
		end = e.at + i + 1
		switch {
		case end == len(e.in):
			return line, end, false, true
		case end == e.lf: // "\r\n"
			end++
		}
	} else if e.lf == len(e.in) {
		return line, e.lf, false, false
	} else {
		end = e.lf + 1
	}
	e.at = end
	return line, end, true, false
}
