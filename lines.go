package weir

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"sync/atomic"
)

// ErrLineTooLong is the cause when a line is longer than allowed.
var ErrLineTooLong = errors.New("weir: line is too long")

// LongLine says what [Lines] does with a line that is longer than its maximum.
type LongLine int

const (
	FailLong LongLine = iota // end the flow with ErrLineTooLong
	CutLong                  // keep the beginning, leave out the rest
	SkipLong                 // leave the line out, and count it as dropped
)

// LineOption changes how [Lines] works.
type LineOption func(*lineSplitter)

// MaxLine sets the maximum length of a line, in bytes without its end, and what
// happens to longer ones. The default is 1 MiB and FailLong.
func MaxLine(n int, long LongLine) LineOption {
	return func(s *lineSplitter) { s.most, s.long = n, long }
}

// Lines cuts a stream of bytes into lines, without their ends, which are "\n" or
// "\r\n". What follows the last end is a line too, unless it is empty. The
// lines of a chunk are handed on together and at once.
func Lines(s Stream[byte], opts ...LineOption) Stream[string] {
	split := lineSplitter{most: 1 << 20}
	for _, o := range opts {
		o(&split)
	}
	st := Stage[byte, string]{Name: "lines", Holds: int64(split.most) + int64(chunkLen[string]())*slotSize[string]() + maxSegment}
	if split.most < 1 || split.long < FailLong || split.long > SkipLong {
		st.Err = fmt.Errorf("a maximum line of %d bytes (policy %d): use 1 or more, and FailLong, CutLong or SkipLong", split.most, split.long)
	}
	st.Open = func(context.Context) (Transform[byte, string], error) {
		t := split
		return &t, nil
	}
	return Via(s, st)
}

type lineSplitter struct {
	most int
	long LongLine

	part   []byte // the beginning of a line that is not complete
	over   bool   // it is too long, and the rest is to be left out
	out    []string
	number int64 // of the current line, from 1, less one
	offset int64 // of the byte behind what was read

	dropped *atomic.Int64
}

func (t *lineSplitter) countDrops(n *atomic.Int64) { t.dropped = n }

func (t *lineSplitter) Do(_ context.Context, in []byte, emit func([]string) error) error {
	out := t.out[:0]
	start := t.offset
	var err error
	for rest := in; len(rest) > 0 && err == nil; {
		i := bytes.IndexByte(rest, '\n')
		if i < 0 {
			err = t.keep(rest)
			break
		}
		line := rest[:i]
		rest = rest[i+1:]
		t.offset = start + int64(len(in)-len(rest))
		if len(t.part) > 0 || t.over {
			if err = t.keep(line); err != nil {
				break
			}
			line = t.part
		}
		out, err = t.add(out, line)
		if len(out) == chunkLen[string]() {
			if err := emit(out); err != nil {
				return err
			}
			clear(out)
			out = out[:0]
		}
	}
	t.offset = start + int64(len(in))
	t.out = out
	if eerr := emit(out); eerr != nil {
		return eerr
	}
	clear(out)
	return err
}

// keep adds to the line that is not complete yet. One byte more than the
// maximum may be a carriage return.
func (t *lineSplitter) keep(p []byte) error {
	if room := t.most + 1 - len(t.part); len(p) > room {
		p = p[:max(0, room)]
		t.over = true
		if t.long == FailLong {
			return t.tooLong()
		}
	}
	t.part = append(t.part, p...)
	return nil
}

func (t *lineSplitter) tooLong() error {
	return fmt.Errorf("%w: line %d has more than %d bytes (near byte %d)", ErrLineTooLong, t.number+1, t.most, t.offset)
}

// add ends a line.
func (t *lineSplitter) add(out []string, line []byte) ([]string, error) {
	if n := len(line); n > 0 && line[n-1] == '\r' && !t.over {
		line = line[:n-1]
	}
	long := t.over || len(line) > t.most
	t.over = false
	var err error
	switch {
	case !long:
		out = append(out, string(line))
	case t.long == FailLong:
		err = t.tooLong()
	case t.long == CutLong:
		out = append(out, string(line[:t.most]))
	default:
		t.dropped.Add(1)
	}
	t.part = t.part[:0]
	t.number++
	return out, err
}

func (t *lineSplitter) Flush(_ context.Context, emit func([]string) error) error {
	if len(t.part) == 0 && !t.over {
		return nil
	}
	out, err := t.add(t.out[:0], t.part)
	if err != nil {
		return err
	}
	return emit(out)
}

// JoinLines writes each value as a line that ends in "\n".
func JoinLines(s Stream[string]) Stream[byte] {
	return encode(s, "join lines", func() func([]byte, string) ([]byte, error) {
		return func(buf []byte, line string) ([]byte, error) {
			return append(append(buf, line...), '\n'), nil
		}
	})
}

// encode turns each value into bytes that a function appends to buf. Each run
// gets a function of its own from start.
func encode[T any](s Stream[T], name string, start func() func(buf []byte, v T) ([]byte, error)) Stream[byte] {
	return Via(s, Stage[T, byte]{
		Name:  name,
		Holds: 2 * maxSegment,
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
			if cap(buf) > 4*maxSegment {
				buf = nil // one large value must not pin its memory
			}
			buf = buf[:0]
		}
	}
	e.buf = buf
	return emit(buf)
}

func (e *encoder[T]) Flush(context.Context, func([]byte) error) error { return nil }
