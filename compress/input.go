package compress

import (
	"bytes"
	"io"

	"github.com/weir-go/weir/internal/inflate"
)

// inSize is the memory of an input: its buffer.
const inSize = inflate.InputHolds

// input is the reader for a decoder. It counts, and remembers the error that
// its source failed with, which is no fault of the data.
type input struct {
	inflate.Input
	src source
}

type source struct {
	r   io.Reader
	n   int64
	eof bool
	err error
}

func (s *source) Read(p []byte) (int, error) {
	n, err := s.r.Read(p)
	s.n += int64(n)
	if err == io.EOF {
		s.eof = true
	} else if err != nil {
		s.err = err
	}
	return n, err
}

func newInput() *input {
	in := new(input)
	in.reset(nil)
	return in
}

// reset begins with r; nil lets go of the last one.
func (in *input) reset(r io.Reader) {
	in.src = source{r: r}
	in.Input.Reset(&in.src)
}

// offset returns how much of the input was used.
func (in *input) offset() int64 { return in.src.n - int64(in.Buffered()) }

// exhausted reports whether the decoder has asked for more than there is.
func (in *input) exhausted() bool { return in.src.eof && in.Buffered() == 0 }

// skipZeros reads zeros, and reports whether something else follows them.
func (in *input) skipZeros() (more bool, err error) {
	for {
		if _, err := in.Peek(1); err == io.EOF {
			return false, nil
		} else if err != nil {
			return false, err
		}
		head, _ := in.Peek(in.Buffered())
		rest := bytes.TrimLeft(head, "\x00")
		in.Discard(len(head) - len(rest))
		if len(rest) > 0 {
			return true, nil
		}
	}
}
