// Package text has stages for text: lines, case, patterns, and checks of UTF-8.
// They take text in chunks that can end anywhere, even within a character or a
// line ending. The result does not depend on the chunks.
//
//	errors := weir.File("log").Through(text.Grep(regexp.MustCompile("ERROR")))
//	for line, err := range text.Lines(errors).All(ctx) { … }
//
// A line can end in "\n", "\r\n" or "\r". Stages that hold a line hold at most
// [MaxLine] bytes of it, by default 1 MiB. That is part of the ceiling of their
// flow.
//
// The package uses only the exported names of package weir, so your own stages
// can do everything that these stages do.
package text

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"slices"
	"unicode/utf8"

	"github.com/weir-go/weir"
	"github.com/weir-go/weir/internal/chars"
)

// segment is how many bytes of values a stage gathers before it hands them on.
const segment = 64 << 10

// ErrInvalidUTF8 is the cause if a stage cannot pass on bytes that are not UTF-8. No
// stage replaces such bytes. [Lines], [Grep], [HeadLines], [Upper] and [Lower], and
// the CSV stages of package record, pass them on unchanged. JSON is UTF-8 by
// definition, so the JSON stages of package record end the flow with this error, as
// [Valid] does.
var ErrInvalidUTF8 = chars.ErrInvalid

// Upper maps text to upper case as [bytes.ToUpper] does. Characters that are
// split between chunks are put together first; bytes that are not UTF-8 pass
// unchanged.
func Upper() weir.Stage[byte, byte] { return caseStage("upper", bytes.ToUpper, 'a') }

// Lower maps text to lower case as [bytes.ToLower] does. See [Upper].
func Lower() weir.Stage[byte, byte] { return caseStage("lower", bytes.ToLower, 'A') }

// caseStage changes the case of the ASCII letters from first to first+25, and
// leaves other characters to full.
func caseStage(name string, full func([]byte) []byte, first byte) weir.Stage[byte, byte] {
	return textStage(name, 2*segment, func() func([]byte) []byte {
		var buf []byte
		return func(text []byte) []byte {
			out := appendCase(buf[:0], text, first, full)
			if cap(out) <= 4*segment {
				buf = out
			}
			return out
		}
	})
}

// appendCase maps runs of ASCII by itself and all else by full.
func appendCase(dst, text []byte, first byte, full func([]byte) []byte) []byte {
	for len(text) > 0 {
		at := len(dst)
		dst = slices.Grow(dst, len(text))[:at+len(text)]
		n := flipASCII(dst[at:], text, first)
		dst = dst[:at+n]
		text = text[n:]
		for n = 0; n < len(text) && text[n] >= utf8.RuneSelf; n++ {
		}
		dst = appendRunes(dst, text[:n], full)
		text = text[n:]
	}
	return dst
}

// flipASCII copies the ASCII prefix of src to dst, flipping the case of the
// letters from first on, and returns its length. It works on eight bytes at a
// time: for a byte below 0x80, adding 0x80 minus a bound sets the byte's
// highest bit if the byte reaches the bound.
func flipASCII(dst, src []byte, first byte) int {
	const ones, high = 0x0101010101010101, 0x8080808080808080
	from := ones * uint64(0x80-first)
	behind := ones * uint64(0x80-(first+26))
	n := 0
	for ; n+8 <= len(src); n += 8 {
		x := binary.LittleEndian.Uint64(src[n:])
		if x&high != 0 {
			break
		}
		letters := (x + from) &^ (x + behind) & high
		binary.LittleEndian.PutUint64(dst[n:], x^letters>>2)
	}
	for ; n < len(src) && src[n] < utf8.RuneSelf; n++ {
		c := src[n]
		if first <= c && c < first+26 {
			c ^= 0x20
		}
		dst[n] = c
	}
	return n
}

// appendRunes maps the valid parts of text, which has no ASCII in it.
func appendRunes(dst, text []byte, full func([]byte) []byte) []byte {
	if utf8.Valid(text) {
		return append(dst, full(text)...)
	}
	for len(text) > 0 {
		r, n := utf8.DecodeRune(text)
		if r == utf8.RuneError && n == 1 {
			dst = append(dst, text[0])
		} else {
			dst = append(dst, full(text[:n])...)
		}
		text = text[n:]
	}
	return dst
}

// Map passes text through f in pieces that never split a character. f can return
// its argument or new memory, and must not keep its argument.
func Map(name string, f func(text []byte) []byte) weir.Stage[byte, byte] {
	if f == nil {
		return weir.Stage[byte, byte]{Name: name, Err: errors.New("nil function")}
	}
	return textStage(name, 0, func() func([]byte) []byte { return f })
}

// textStage calls a function with pieces of whole characters. start makes a new
// function for each run.
func textStage(name string, holds int64, start func() func(text []byte) []byte) weir.Stage[byte, byte] {
	return weir.Stage[byte, byte]{
		Name:  name,
		Holds: holds,
		Open:  func(context.Context) (weir.Transform[byte, byte], error) { return &textMapper{f: start()}, nil },
	}
}

type textMapper struct {
	f    func(text []byte) []byte
	part []byte // the beginning of a character
}

func (t *textMapper) Do(_ context.Context, in []byte, emit func([]byte) error) error {
	for len(t.part) > 0 && len(in) > 0 {
		t.part = append(t.part, in[0])
		in = in[1:]
		// An invalid beginning can be followed by the beginning of another character.
		for utf8.FullRune(t.part) {
			_, n := utf8.DecodeRune(t.part)
			if err := emit(t.f(t.part[:n])); err != nil {
				return err
			}
			t.part = append(t.part[:0], t.part[n:]...)
		}
	}
	n := chars.WholeRunes(in)
	if n > 0 {
		if err := emit(t.f(in[:n])); err != nil {
			return err
		}
	}
	t.part = append(t.part, in[n:]...)
	return nil
}

func (t *textMapper) Flush(_ context.Context, emit func([]byte) error) error {
	if len(t.part) == 0 {
		return nil
	}
	return emit(t.f(t.part))
}

// Valid passes text on. At the first bytes that are not UTF-8, it ends the flow with
// [ErrInvalidUTF8]; the error has the offset.
func Valid() weir.Stage[byte, byte] {
	return weir.Stage[byte, byte]{
		Name: "valid text",
		Open: func(context.Context) (weir.Transform[byte, byte], error) { return &textChecker{}, nil },
	}
}

type textChecker struct {
	part   []byte
	offset int64
}

// Do passes on the bytes before the first invalid UTF-8.
func (t *textChecker) Do(_ context.Context, in []byte, emit func([]byte) error) error {
	n, err := t.check(in)
	if eerr := emit(in[:n]); eerr != nil {
		return eerr
	}
	return err
}

// check returns how much of in there is before the first bytes that are not
// UTF-8, and the error of those. Bytes that may be the beginning of a character
// count as valid until the next ones come.
func (t *textChecker) check(in []byte) (int, error) {
	rest, begin := in, t.offset-int64(len(t.part))
	for len(t.part) > 0 && len(rest) > 0 {
		t.part = append(t.part, rest[0])
		rest = rest[1:]
		if utf8.FullRune(t.part) {
			if r, n := utf8.DecodeRune(t.part); r == utf8.RuneError && n == 1 {
				return 0, fmt.Errorf("%w at byte %d", ErrInvalidUTF8, begin)
			}
			t.part = t.part[:0]
		}
	}
	if len(rest) > 0 {
		n := chars.WholeRunes(rest)
		if i := chars.FirstInvalid(rest[:n]); i < n {
			i += len(in) - len(rest)
			return i, fmt.Errorf("%w at byte %d", ErrInvalidUTF8, t.offset+int64(i))
		}
		t.part = append(t.part, rest[n:]...)
	}
	t.offset += int64(len(in))
	return len(in), nil
}

func (t *textChecker) Flush(context.Context, func([]byte) error) error { return t.end() }

// end is the error of a text that ends within a character, or nil.
func (t *textChecker) end() error {
	if len(t.part) > 0 {
		return fmt.Errorf("%w at byte %d", ErrInvalidUTF8, t.offset-int64(len(t.part)))
	}
	return nil
}
