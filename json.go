package weir

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
)

// DecodeJSON reads values of type T from JSON lines, or from JSON values that
// are separated by nothing but white space. Errors name the offset. A value
// may have up to most bytes, 1 MiB if most is 0; more is [ErrLimit].
func DecodeJSON[T any](s Stream[byte], most int64) Stream[T] {
	st := Stage[byte, T]{Name: "decode json"}
	switch {
	case most < 0:
		st.Err = fmt.Errorf("a maximum value of %d bytes is negative", most)
	case most == 0:
		most = 1 << 20
	}
	st.Holds = 2 * most
	st.Run = func(_ context.Context, in Reader[byte], out Writer[T]) error {
		src := &quota{r: in.(io.Reader), most: most}
		dec := json.NewDecoder(src)
		var one [1]T
		for {
			src.from = dec.InputOffset()
			var v T
			switch err := dec.Decode(&v); {
			case err == io.EOF:
				return nil
			case src.err != nil:
				return src.err
			case err != nil:
				return fmt.Errorf("near byte %d: %w", dec.InputOffset(), err)
			}
			one[0] = v
			if _, err := out.Write(one[:]); err != nil {
				return err
			}
		}
	}
	return Via(s, st)
}

// quota stops a reader that would have to hold more than most bytes for one
// value.
type quota struct {
	r    io.Reader
	most int64
	from int64 // where the value begins
	n    int64 // what was read
	err  error // what the reader failed with
}

func (q *quota) Read(p []byte) (int, error) {
	if q.n-q.from > q.most {
		q.err = fmt.Errorf("%w: the value at byte %d has more than %s", ErrLimit, q.from, FormatBytes(q.most))
		return 0, q.err
	}
	n, err := q.r.Read(p[:min(int64(len(p)), max(1, q.most))])
	q.n += int64(n)
	if err != nil && err != io.EOF {
		q.err = err
	}
	return n, err
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
