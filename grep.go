package weir

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"regexp"
)

// maxGrepLine is the longest line that Grep looks at.
const maxGrepLine = 1 << 20

// Grep passes on the lines that match, with their ends. A last line without an
// end is a line. Lines longer than 1 MiB end the flow with [ErrLineTooLong].
func Grep(re *regexp.Regexp) Stage[byte, byte] { return grep("grep", re, true) }

// GrepOut passes on the lines that do not match. See [Grep].
func GrepOut(re *regexp.Regexp) Stage[byte, byte] { return grep("grep out", re, false) }

func grep(name string, re *regexp.Regexp, keep bool) Stage[byte, byte] {
	if re == nil {
		return Stage[byte, byte]{Name: name, Err: errors.New("its pattern is nil")}
	}
	matches := re.Match
	if literal, whole := re.LiteralPrefix(); whole {
		text := []byte(literal)
		matches = func(line []byte) bool { return bytes.Contains(line, text) }
	}
	return Stage[byte, byte]{
		Name:  name,
		Holds: 2 * maxGrepLine,
		Open: func(context.Context) (Transform[byte, byte], error) {
			return &lineFilter{matches: matches, keep: keep}, nil
		},
	}
}

// lineFilter passes on the lines for which matches is keep.
type lineFilter struct {
	matches func(line []byte) bool
	keep    bool
	part    []byte // the beginning of a line that is not complete
	lines   int64
}

// Do hands on runs of lines that lie together without copying them.
func (t *lineFilter) Do(_ context.Context, in []byte, emit func([]byte) error) error {
	if len(t.part) > 0 {
		i := bytes.IndexByte(in, '\n')
		if i < 0 {
			return t.hold(in)
		}
		if err := t.hold(in[:i+1]); err != nil {
			return err
		}
		in = in[i+1:]
		if t.wants(t.part) {
			if err := emit(t.part); err != nil {
				return err
			}
		}
		t.part = t.part[:0]
	}
	begin, at := 0, 0 // in[begin:at] is wanted and not handed on yet
	for {
		i := bytes.IndexByte(in[at:], '\n')
		if i < 0 {
			break
		}
		end := at + i + 1
		if i >= maxGrepLine {
			return errors.Join(emit(in[begin:at]), t.tooLong())
		}
		if t.wants(in[at:end]) {
			at = end
		} else {
			if err := emit(in[begin:at]); err != nil {
				return err
			}
			begin, at = end, end
		}
	}
	if err := emit(in[begin:at]); err != nil {
		return err
	}
	return t.hold(in[at:])
}

func (t *lineFilter) wants(line []byte) bool {
	t.lines++
	line = bytes.TrimSuffix(line, []byte("\n"))
	return t.matches(bytes.TrimSuffix(line, []byte("\r"))) == t.keep
}

func (t *lineFilter) hold(p []byte) error {
	if len(t.part)+len(p) > maxGrepLine {
		return t.tooLong()
	}
	t.part = append(t.part, p...)
	return nil
}

func (t *lineFilter) tooLong() error {
	return fmt.Errorf("%w: line %d has more than %s", ErrLineTooLong, t.lines+1, FormatBytes(maxGrepLine))
}

func (t *lineFilter) Flush(_ context.Context, emit func([]byte) error) error {
	if len(t.part) == 0 || !t.wants(t.part) {
		return nil
	}
	return emit(t.part)
}

// HeadLines passes on the first n lines, of any length, and ends the source.
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
