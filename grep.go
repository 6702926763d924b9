package weir

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"regexp"
	"sync/atomic"
)

// Grep passes on the lines that match, with their ends. A last line without an
// end is a line. A line longer than [MaxLine], by default 1 MiB, ends the flow
// with [ErrLineTooLong] behind the lines before it, unless MaxLine says
// otherwise: with CutLong the pattern sees the beginning of a long line, and
// only that is passed on.
func Grep(re *regexp.Regexp, opts ...LineOption) Stage[byte, byte] {
	return grep("grep", re, true, opts)
}

// GrepOut passes on the lines that do not match. See [Grep].
func GrepOut(re *regexp.Regexp, opts ...LineOption) Stage[byte, byte] {
	return grep("grep out", re, false, opts)
}

func grep(name string, re *regexp.Regexp, keep bool, opts []LineOption) Stage[byte, byte] {
	limit, err := lineLimitOf(opts)
	if re == nil {
		err = errors.New("its pattern is nil")
	}
	if err != nil {
		return Stage[byte, byte]{Name: name, Err: err}
	}
	matches := re.Match
	if literal, whole := re.LiteralPrefix(); whole {
		text := []byte(literal)
		matches = func(line []byte) bool { return bytes.Contains(line, text) }
	}
	return Stage[byte, byte]{
		Name:  name,
		Holds: 2*countable(int64(limit.most)) + 64,
		Open: func(context.Context) (Transform[byte, byte], error) {
			return &lineFilter{lineBuffer: lineBuffer{lineLimit: limit}, matches: matches, wanted: keep}, nil
		},
	}
}

// lineFilter passes on the lines for which matches is wanted.
type lineFilter struct {
	lineBuffer
	matches func(line []byte) bool
	wanted  bool

	dropped *atomic.Int64
}

func (t *lineFilter) countDrops(n *atomic.Int64) { t.dropped = n }

// Do hands on runs of lines that lie together without copying them.
func (t *lineFilter) Do(_ context.Context, in []byte, emit func([]byte) error) error {
	if len(t.part) > 0 || t.over {
		i := bytes.IndexByte(in, '\n')
		if i < 0 {
			t.taken += int64(len(in))
			return t.keep(in)
		}
		if err := t.keep(in[:i]); err != nil {
			return err
		}
		t.taken += int64(i) + 1
		in = in[i+1:]
		if err := t.endPart(true, emit); err != nil {
			return err
		}
	}
	begin, at := 0, 0 // in[begin:at] is wanted and not handed on yet
	for {
		i := bytes.IndexByte(in[at:], '\n')
		if i < 0 {
			break
		}
		end := at + i + 1
		t.taken += int64(i) + 1
		line := bytes.TrimSuffix(in[at:end-1], []byte("\r"))
		if len(line) <= t.most && t.matches(line) == t.wanted {
			at = end
			t.ended()
			continue
		}
		if err := emit(in[begin:at]); err != nil {
			return err
		}
		begin, at = end, end
		if len(line) > t.most {
			if err := t.longLine(line[:t.most], true, emit); err != nil {
				return err
			}
		}
		t.ended()
	}
	if err := emit(in[begin:at]); err != nil {
		return err
	}
	t.taken += int64(len(in) - at)
	return t.keep(in[at:])
}

// endPart ends the line that came in parts.
func (t *lineFilter) endPart(newline bool, emit func([]byte) error) error {
	defer t.ended()
	line := t.part
	if !t.over {
		line = bytes.TrimSuffix(line, []byte("\r"))
	}
	if t.over || len(line) > t.most {
		return t.longLine(line[:t.most], newline, emit)
	}
	if t.matches(line) != t.wanted {
		return nil
	}
	if newline {
		t.part = append(t.part, '\n')
	}
	return emit(t.part)
}

// longLine does with a line what the policy says; line is its beginning.
func (t *lineFilter) longLine(line []byte, newline bool, emit func([]byte) error) error {
	switch t.long {
	case FailLong:
		return t.tooLong()
	case SkipLong:
		t.dropped.Add(1)
		return nil
	}
	if t.matches(line) != t.wanted {
		return nil
	}
	if err := emit(line); err != nil || !newline {
		return err
	}
	return emit([]byte("\n"))
}

func (t *lineFilter) Flush(_ context.Context, emit func([]byte) error) error {
	if len(t.part) == 0 && !t.over {
		return nil
	}
	return t.endPart(false, emit)
}

// HeadLines passes on the first n lines and ends the source. It holds none of
// them, so they may have any length.
func HeadLines(n int64) Stage[byte, byte] {
	if n < 0 {
		return Stage[byte, byte]{Name: "head", Err: fmt.Errorf("%d lines is negative", n)}
	}
	if n == 0 {
		return nothing[byte]("head")
	}
	return Stage[byte, byte]{Name: "head", Open: func(context.Context) (Transform[byte, byte], error) {
		left := n
		return funcTransform[byte, byte]{do: func(_ context.Context, in []byte, emit func([]byte) error) error {
			end := 0
			for left > 0 {
				i := bytes.IndexByte(in[end:], '\n')
				if i < 0 {
					return emit(in)
				}
				end += i + 1
				left--
			}
			if err := emit(in[:end]); err != nil {
				return err
			}
			return ErrStop
		}}, nil
	}}
}

// Head passes on the first n bytes and ends the source.
func Head(n int64) Stage[byte, byte] {
	return Compose("head", func(s Stream[byte]) Stream[byte] { return Take(s, n).Named("head") })
}
