package text

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"regexp"

	"github.com/weir-go/weir"
	"github.com/weir-go/weir/internal/grow"
)

// Grep passes on the lines that match, unchanged and with their line ends. It
// recognizes lines as [Lines] does, and leaves out a byte order mark at the
// beginning. A last line without an end is a line. A line longer than [MaxLine], by
// default 1 MiB, ends the flow with [ErrLineTooLong] after the lines before it. With
// [CutLong], Grep matches and passes on only the beginning of a long line; with
// [SkipLong] it leaves the line out.
func Grep(re *regexp.Regexp, opts ...LineOption) weir.Stage[byte, byte] {
	return grep("grep", re, true, opts)
}

// GrepOut passes on the lines that do not match. See [Grep].
func GrepOut(re *regexp.Regexp, opts ...LineOption) weir.Stage[byte, byte] {
	return grep("grep out", re, false, opts)
}

func grep(name string, re *regexp.Regexp, keep bool, opts []LineOption) weir.Stage[byte, byte] {
	limit, err := lineLimitOf(opts)
	if re == nil {
		err = errors.New("nil pattern")
	}
	if err != nil {
		return weir.Stage[byte, byte]{Name: name, Err: err}
	}
	matches := re.Match
	if literal, whole := re.LiteralPrefix(); whole {
		text := []byte(literal)
		matches = func(line []byte) bool { return bytes.Contains(line, text) }
	}
	return weir.Stage[byte, byte]{
		Name:  name,
		Holds: 2*grow.Countable(int64(limit.most)) + 64,
		Open: func(context.Context) (weir.Transform[byte, byte], error) {
			return &lineFilter{lineBuffer: lineBuffer{lineLimit: limit}, matches: matches, wanted: keep}, nil
		},
	}
}

// lineFilter passes on the lines for which matches is wanted.
type lineFilter struct {
	lineBuffer
	matches func(line []byte) bool
	wanted  bool
	dropped int64 // lines that were left out since the last report of them
}

// Do passes on adjacent lines together, without copying them.
func (t *lineFilter) Do(ctx context.Context, in []byte, emit func([]byte) error) error {
	in, err := t.begin(in)
	if err != nil {
		return err
	}
	begin, at := 0, 0 // in[begin:at] is wanted and not passed on yet
	err = t.cut(in, func(line, end []byte, from, to int) error {
		if from >= 0 && len(line) <= t.most && t.matches(line) == t.wanted {
			at = to
			return nil
		}
		run := in[begin:at]
		begin, at = to, to
		if err := emit(run); err != nil {
			return err
		}
		return t.apart(line, end, from >= 0, emit)
	})
	t.tell(ctx)
	if eerr := emit(in[begin:at]); eerr != nil {
		return eerr
	}
	return err
}

// tell reports the lines that were left out.
func (t *lineFilter) tell(ctx context.Context) {
	weir.CountDropped(ctx, t.dropped)
	t.dropped = 0
}

// apart takes a line that is no part of a run: it came in parts, or is too long,
// or was seen and is not wanted.
func (t *lineFilter) apart(line, end []byte, seen bool, emit func([]byte) error) error {
	if t.over || len(line) > t.most {
		return t.longLine(line[:t.most], len(end) > 0, emit)
	}
	if seen || t.matches(line) != t.wanted {
		return nil
	}
	t.part = append(t.part, end...) // the line is in it
	return emit(t.part)
}

// longLine applies the policy to a line; line is its beginning.
func (t *lineFilter) longLine(line []byte, newline bool, emit func([]byte) error) error {
	switch t.long {
	case failLong:
		return t.tooLong()
	case skipLong:
		t.dropped++
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

func (t *lineFilter) Flush(ctx context.Context, emit func([]byte) error) error {
	defer t.tell(ctx)
	return t.last(func(line, end []byte, from, _ int) error {
		return t.apart(line, end, false, emit)
	})
}

// HeadLines passes on the first n lines and ends the source. It holds none of
// them, so they can have any length. See [Lines] for what ends a line.
func HeadLines(n int64) weir.Stage[byte, byte] {
	if n < 0 {
		return weir.Stage[byte, byte]{Name: "head", Err: fmt.Errorf("negative number of lines %d", n)}
	}
	if n == 0 {
		// It ends without reading.
		return weir.Stage[byte, byte]{Name: "head", Run: func(context.Context, weir.Reader[byte], weir.Writer[byte]) error { return nil }}
	}
	return counted("head", n, func(_ context.Context, c *lineCounter, in []byte, emit func([]byte) error) error {
		if err := emit(in[:c.take(in)]); err != nil || c.left > 0 {
			return err
		}
		return weir.ErrStop
	})
}

// SkipLines leaves out the first n lines. It holds none of them, so they can
// have any length. See [Lines] for what ends a line.
func SkipLines(n int64) weir.Stage[byte, byte] {
	if n < 0 {
		return weir.Stage[byte, byte]{Name: "skip", Err: fmt.Errorf("negative number of lines %d", n)}
	}
	return counted("skip", n, func(_ context.Context, c *lineCounter, in []byte, emit func([]byte) error) error {
		return emit(in[c.take(in):])
	})
}

// counted returns a stage that counts n lines in each run.
func counted(name string, n int64, do func(context.Context, *lineCounter, []byte, func([]byte) error) error) weir.Stage[byte, byte] {
	start := func(context.Context) (*lineCounter, error) { return &lineCounter{left: n}, nil }
	return weir.DoWith(name, start, do, nil)
}

// lineCounter finds the end of a number of lines.
type lineCounter struct {
	left int64
	cr   bool // the last byte was a "\r", which may be half of an end
}

// take returns how much of in belongs to the lines that are left.
func (c *lineCounter) take(in []byte) int {
	if c.left == 0 || len(in) == 0 {
		return 0
	}
	e := lineEnds{in: in, lf: -1}
	if c.cr {
		c.cr = false
		c.left--
		if in[0] == '\n' {
			e.at = 1
		}
	}
	for c.left > 0 {
		_, _, ok, half := e.next()
		if !ok {
			c.cr = half
			return len(in)
		}
		c.left--
	}
	return e.at
}

// Head passes on the first n bytes and ends the source.
func Head(n int64) weir.Stage[byte, byte] {
	return weir.Compose("head", func(s weir.Stream[byte]) weir.Stream[byte] { return weir.Take(s, n).Named("head") })
}
