package weir

import (
	"bytes"
	"fmt"
)

// textStart looks at the beginning of a text. A byte order mark there is no part
// of the text, and that of UTF-16 means that no stage could read the rest.
type textStart struct {
	held []byte // what may be the beginning of a mark
	over bool
}

var (
	bomUTF8    = []byte("\xef\xbb\xbf")
	bomUTF16LE = []byte("\xff\xfe")
	bomUTF16BE = []byte("\xfe\xff")
)

var errUTF16 = fmt.Errorf("%w: the text is UTF-16; convert it to UTF-8 first", ErrInvalidUTF8)

// take returns in without a mark, and how many bytes that left out. It returns
// nothing while it cannot tell.
func (s *textStart) take(in []byte) (text []byte, left int, err error) {
	if s.over || len(in) == 0 {
		return in, 0, nil
	}
	if len(s.held) > 0 {
		in = append(s.held, in...)
	}
	switch {
	case bytes.HasPrefix(in, bomUTF16LE), bytes.HasPrefix(in, bomUTF16BE):
		return nil, 0, errUTF16
	case bytes.HasPrefix(in, bomUTF8):
		s.over = true
		return in[len(bomUTF8):], len(bomUTF8), nil
	case bytes.HasPrefix(bomUTF8, in), bytes.HasPrefix(bomUTF16LE, in), bytes.HasPrefix(bomUTF16BE, in):
		s.held = bytes.Clone(in)
		return nil, 0, nil
	}
	s.over = true
	return in, 0, nil
}

// rest returns what take has kept when the text ends.
func (s *textStart) rest() []byte {
	if s.over {
		return nil
	}
	s.over = true
	return s.held
}

// lineEnds finds the ends of lines in a piece of text: "\n", "\r\n", or "\r"
// alone.
type lineEnds struct {
	in []byte
	at int // where the next line begins
	lf int // the next "\n" from at on; len(in) if there is none, -1 if it is not known
}

// next returns the next line and where the one behind it begins. ok is false if
// no line ends in the rest of the text. If that ends in "\r", which may be half
// of an end, half is true; line is what stands before it.
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
