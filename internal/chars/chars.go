// Package chars has the rules of UTF-8 for stages for text and for records: where
// a chunk of bytes ends within a character, which bytes are none, and how a text
// begins.
package chars

import (
	"bytes"
	"errors"
	"fmt"
	"unicode/utf8"
)

// ErrInvalid is text.ErrInvalidUTF8.
var ErrInvalid = errors.New("invalid UTF-8")

// Start looks at the beginning of a text. A byte order mark there is no part of
// the text, and the mark of UTF-16 means that no stage could read the rest.
type Start struct {
	held []byte // the possible beginning of a mark
	over bool
}

var (
	bomUTF8    = []byte("\xef\xbb\xbf")
	bomUTF16LE = []byte("\xff\xfe")
	bomUTF16BE = []byte("\xfe\xff")
)

// ErrUTF16 is the error of a text that begins with the mark of UTF-16. It is an
// ErrInvalid.
var ErrUTF16 = fmt.Errorf("%w: the text is UTF-16; convert it to UTF-8 first", ErrInvalid)

// Take returns in without a byte order mark, and the length of the mark. It
// returns nothing while it cannot know whether in begins with one.
func (s *Start) Take(in []byte) (text []byte, left int, err error) {
	if s.over || len(in) == 0 {
		return in, 0, nil
	}
	if len(s.held) > 0 {
		in = append(s.held, in...)
	}
	switch {
	case bytes.HasPrefix(in, bomUTF16LE), bytes.HasPrefix(in, bomUTF16BE):
		return nil, 0, ErrUTF16
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

// Rest returns the bytes that Take has kept when the text ends.
func (s *Start) Rest() []byte {
	if s.over {
		return nil
	}
	s.over = true
	return s.held
}

// WholeRunes returns how much of p does not end within a character.
func WholeRunes(p []byte) int {
	for i := 1; i <= min(utf8.UTFMax-1, len(p)); i++ {
		c := p[len(p)-i]
		if utf8.RuneStart(c) {
			if c >= utf8.RuneSelf && !utf8.FullRune(p[len(p)-i:]) {
				return len(p) - i
			}
			break
		}
	}
	return len(p)
}

// FirstInvalid returns where the first bytes of text are that are not UTF-8, or
// its length.
func FirstInvalid(text []byte) int {
	if utf8.Valid(text) {
		return len(text)
	}
	for i := 0; i < len(text); {
		r, n := utf8.DecodeRune(text[i:])
		if r == utf8.RuneError && n == 1 {
			return i
		}
		i += n
	}
	return len(text)
}

// Over reports whether the beginning has been seen.
func (s *Start) Over() bool { return s.over }

// Held returns how many bytes Take has kept.
func (s *Start) Held() int { return len(s.held) }
