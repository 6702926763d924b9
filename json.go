package weir

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"math"
)

// DecodeJSON reads values of type T from JSON lines, or from JSON values that
// are separated by nothing but white space. most is the maximum size of a value:
// its bytes in the input, without the white space around it. 0 stands for 1 MiB.
// A larger value ends the flow with [ErrLimit] and says at which byte the value
// began. Other errors name the offset too. The values before an error are
// delivered.
//
// What a value of type T takes in memory depends on T, and can be many times
// its text: a []any of small numbers takes 12 times as much. The decoder's share
// of the flow's ceiling includes one value as large as its text.
func DecodeJSON[T any](s Stream[byte], most int64) Stream[T] {
	st := Stage[byte, T]{Name: "decode json"}
	switch {
	case most < 0:
		st.Err = fmt.Errorf("a maximum value of %d bytes is negative", most)
	case most == 0:
		most = defaultRecord
	}
	most = min(most, math.MaxInt64-1) // one byte more is asked for
	// The buffer of json.Decoder doubles when it is full, and while it is copied
	// there are two; then there is one, and the value.
	st.Holds = 4*countable(most) + 4<<10
	st.Run = func(_ context.Context, in Reader[byte], out Writer[T]) error {
		src := &quota{r: in.(io.Reader), most: most}
		dec := json.NewDecoder(src)
		var one [1]T
		for {
			src.between = true
			dec.More() // goes to where the value begins; Decode tells what it meets
			src.between = false
			src.from = dec.InputOffset()
			var v T
			err := dec.Decode(&v)
			switch {
			case err == io.EOF:
				return nil
			case src.err != nil:
				return src.err
			case dec.InputOffset()-src.from > most:
				return src.tooMuch()
			case err != nil:
				return fmt.Errorf("near byte %d: %w", dec.InputOffset()+src.skipped, err)
			}
			one[0] = v
			if _, err := out.Write(one[:]); err != nil {
				return err
			}
		}
	}
	return Via(s, st)
}

// quota is a reader that gives a JSON decoder at most one byte more than the
// most that a value may have, so that what the decoder makes of the value does
// not depend on how much comes at once.
type quota struct {
	r       io.Reader
	most    int64
	between bool  // the decoder looks for a value
	from    int64 // where the value begins, for the decoder
	n       int64 // what the decoder was given
	skipped int64 // white space that the decoder was not given
	err     error // what the reader failed with
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
		q.err = q.tooMuch()
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

func (q *quota) tooMuch() error {
	return &LimitError{
		Err: ErrLimit, Option: "the argument most of DecodeJSON", Max: q.most,
		Detail: fmt.Sprintf("value at byte %d is larger than %s", q.from+q.skipped, exactBytes(q.most)),
	}
}

// EncodeJSON writes each value as a line of JSON. Characters that are special
// in HTML are not escaped.
func EncodeJSON[T any](s Stream[T]) Stream[byte] {
	return encode(s, "encode json", func() func([]byte, T) ([]byte, error) {
		var w appender
		enc := json.NewEncoder(&w)
		enc.SetEscapeHTML(false)
		return func(buf []byte, v T) ([]byte, error) {
			w.p = buf
			err := enc.Encode(v)
			return w.p, err
		}
	})
}

type appender struct{ p []byte }

func (a *appender) Write(p []byte) (int, error) {
	a.p = append(a.p, p...)
	return len(p), nil
}
