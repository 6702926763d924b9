package record

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"math"
	"reflect"
	"strings"
	"unicode/utf8"

	"github.com/weir-go/weir"
	"github.com/weir-go/weir/internal/chars"
	"github.com/weir-go/weir/internal/grow"
	"github.com/weir-go/weir/internal/units"
	"github.com/weir-go/weir/text"
)

// DecodeJSON reads values of type T from JSON lines, or from JSON values with only
// white space between them. most is the maximum size of a value: its bytes in the
// input, without the white space around it. 0 means 1 MiB.
// A larger value ends the flow with a [*weir.LimitError] that matches [weir.ErrLimit] and
// says at which byte the value began. Other errors name the offset too. The
// values before an error are delivered.
//
// Numbers in an any are [json.Number], so that they keep all their digits. A
// UTF-8 byte order mark at the beginning is left out. Bytes that are not UTF-8
// end the flow with [text.ErrInvalidUTF8]. As in package json, an escape sequence for
// half of a surrogate pair becomes U+FFFD in a string; a [json.RawMessage] keeps
// it.
//
// The memory that a value needs depends on T and can be many times the size of its
// text: a []any of small numbers takes 12 times as much. The decoder's share of the
// flow's ceiling includes one value as large as its text.
func DecodeJSON[T any](s weir.Stream[byte], most int64) weir.Stream[T] {
	st := weir.Stage[byte, T]{Name: "decode json"}
	switch {
	case most < 0:
		st.Err = fmt.Errorf("negative maximum value of %s; use 0 for 1 MiB", units.Count(most, "byte"))
	case most == 0:
		most = 1 << 20
	}
	most = min(most, math.MaxInt64-1) // one byte more is asked for
	// The buffer of json.Decoder doubles when it is full, and while it is copied
	// there are two; then there is one, and the value.
	st.Holds = 4*grow.Countable(most) + 4<<10
	st.Run = func(_ context.Context, in weir.Reader[byte], out weir.Writer[T]) error {
		whole := &utf8Reader{r: in.(io.Reader)}
		src := &quota{r: whole, most: most}
		dec := json.NewDecoder(src)
		dec.UseNumber()
		var one [1]T
		for {
			src.between = true
			dec.More() // moves to the beginning of the value; Decode reports errors
			src.between = false
			src.from = dec.InputOffset()
			at := func(offset int64) int64 { return offset + src.skipped + whole.left }
			var v T
			err := dec.Decode(&v)
			switch {
			case err == io.EOF:
				return nil
			case src.over:
				return src.tooMuch(at(src.from))
			case src.err != nil:
				return src.err
			case dec.InputOffset()-src.from > most:
				return src.tooMuch(at(src.from))
			case err != nil && strings.HasSuffix(err.Error(), "exceeded max depth"):
				return &weir.LimitError{
					Err: weir.ErrLimit, Max: jsonDepth,
					Detail: fmt.Sprintf("value at byte %d is nested more than %d levels deep", at(src.from), jsonDepth),
				}
			case err != nil:
				return fmt.Errorf("near byte %d: %w", at(dec.InputOffset()), err)
			}
			one[0] = v
			if _, err := out.Write(one[:]); err != nil {
				return err
			}
		}
	}
	return weir.Via(s, st)
}

// quota is a reader that gives a JSON decoder at most one byte more than the
// most that a value may have, so that the decoder's result does not depend on
// how much comes at once.
type quota struct {
	r       io.Reader
	most    int64
	between bool  // the decoder looks for a value
	from    int64 // where the value begins, for the decoder
	n       int64 // bytes that the decoder was given
	skipped int64 // white space that the decoder was not given
	over    bool  // the value is too large
	err     error // the error of the reader
}

func (q *quota) Read(p []byte) (int, error) {
	if q.err != nil {
		return 0, q.err
	}
	left := q.most + 1
	if !q.between {
		left -= q.n - q.from
	}
	if left <= 0 {
		q.over, q.err = true, weir.ErrLimit
		return 0, q.err
	}
	n, err := q.r.Read(p[:min(int64(len(p)), left)])
	if q.between {
		// The decoder would keep any amount of it.
		rest := bytes.TrimLeft(p[:n], " \t\r\n")
		q.skipped += int64(n - len(rest))
		n = copy(p, rest)
	}
	q.n += int64(n)
	if err != nil && err != io.EOF {
		q.err = err
	}
	return n, err
}

func (q *quota) tooMuch(begin int64) error {
	return &weir.LimitError{
		Err: weir.ErrLimit, Option: "the argument most of DecodeJSON", Max: q.most,
		Detail: fmt.Sprintf("value at byte %d is larger than %s", begin, units.Exact(q.most)),
	}
}

// jsonDepth is the depth at which package json refuses values.
const jsonDepth = 10000

// utf8Reader reads a text without a byte order mark, up to the first bytes that
// are not UTF-8. It returns whole characters, so that the error is the same
// however the text comes.
type utf8Reader struct {
	r      io.Reader
	start  chars.Start
	left   int64  // bytes of a mark
	offset int64  // of tail
	head   []byte // characters to be returned first
	tail   []byte // the beginning of the character behind them
	err    error  // the error behind head
}

func (u *utf8Reader) Read(p []byte) (int, error) {
	for len(u.head) == 0 && u.err == nil {
		switch {
		case !u.start.Over():
			u.begin()
		case len(u.tail) > 0:
			u.complete()
		default:
			n, err := u.r.Read(p)
			if n = u.take(p[:n], err); n > 0 {
				return n, nil
			}
		}
	}
	if len(u.head) == 0 {
		return 0, u.err
	}
	n := copy(p, u.head)
	u.head = u.head[n:]
	return n, nil
}

// take returns how much of text is whole characters, and keeps the bytes behind them;
// err came with the text.
func (u *utf8Reader) take(text []byte, err error) int {
	n := chars.WholeRunes(text)
	i := chars.FirstInvalid(text[:n])
	u.offset += int64(i)
	if i < n {
		u.invalid()
		return i
	}
	u.tail = append(u.tail[:0], text[n:]...)
	if u.err = err; err == io.EOF && len(u.tail) > 0 {
		u.invalid()
	}
	return n
}

func (u *utf8Reader) invalid() { u.err = fmt.Errorf("%w at byte %d", text.ErrInvalidUTF8, u.offset) }

// complete reads another byte of a character.
func (u *utf8Reader) complete() {
	var one [1]byte
	n, err := u.r.Read(one[:])
	u.tail = append(u.tail, one[:n]...)
	switch {
	case utf8.FullRune(u.tail):
		u.head = bytes.Clone(u.tail)
		u.head = u.head[:u.take(u.head, err)]
	case err == io.EOF:
		u.invalid()
	default:
		u.err = err
	}
}

// begin reads only the bytes that show whether there is a mark.
func (u *utf8Reader) begin() {
	var first [len("\xef\xbb\xbf")]byte
	n, err := u.r.Read(first[:len(first)-u.start.Held()])
	text, left, serr := u.start.Take(first[:n])
	u.left, u.offset = int64(left), int64(left)
	if err != nil {
		text = append(text, u.start.Rest()...)
	}
	if u.start.Over() {
		u.head = bytes.Clone(text)
		u.head = u.head[:u.take(u.head, err)]
	}
	if serr != nil {
		u.err = serr
	}
}

// EncodeJSON writes each value as a line of JSON. Characters that are special
// in HTML are not escaped. A string that is not UTF-8 ends the flow with
// [text.ErrInvalidUTF8] after the values before it.
func EncodeJSON[T any](s weir.Stream[T]) weir.Stream[byte] {
	return encode(s, "encode json", func() func([]byte, T) ([]byte, error) {
		var w appender
		enc := json.NewEncoder(&w)
		enc.SetEscapeHTML(false)
		count := 0
		return func(buf []byte, v T) ([]byte, error) {
			w.p = buf
			if err := enc.Encode(v); err != nil {
				return w.p, err
			}
			count++
			// Package json replaces invalid UTF-8 by an escape sequence. It writes that
			// sequence for nothing else, but can find it in a json.RawMessage.
			line := w.p[len(buf):]
			if !utf8.Valid(line) || bytes.Contains(line, []byte(`\ufffd`)) && !validStrings(reflect.ValueOf(v)) {
				return buf, fmt.Errorf("%w in value %d", text.ErrInvalidUTF8, count)
			}
			return w.p, nil
		}
	})
}

// validStrings reports whether the strings that package json writes for v are
// UTF-8. It has written v, so that v does not contain itself.
func validStrings(v reflect.Value) bool {
	switch v.Kind() {
	case reflect.String:
		return utf8.ValidString(v.String())
	case reflect.Pointer, reflect.Interface:
		return v.IsNil() || validStrings(v.Elem())
	case reflect.Slice, reflect.Array:
		if v.Type().Elem().Kind() == reflect.Uint8 {
			return true
		}
		for i := range v.Len() {
			if !validStrings(v.Index(i)) {
				return false
			}
		}
	case reflect.Map:
		for k, e := range v.Seq2() {
			if !validStrings(k) || !validStrings(e) {
				return false
			}
		}
	case reflect.Struct:
		for i := range v.NumField() {
			f := v.Type().Field(i)
			if (f.IsExported() || f.Anonymous) && f.Tag.Get("json") != "-" && !validStrings(v.Field(i)) {
				return false
			}
		}
	}
	return true
}

type appender struct{ p []byte }

func (a *appender) Write(p []byte) (int, error) {
	a.p = append(a.p, p...)
	return len(p), nil
}
