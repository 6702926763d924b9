// Package natural orders names as people expect: "a2" before "a10", and "B" after "a".
package natural

import (
	"strings"
	"unicode"
	"unicode/utf8"
)

// AppendKey appends the place of a name in the order to key: names are ordered by the bytes
// of their keys. The order has no regard to case, and takes the numbers in names by their
// values. Names that differ only in case or in leading zeros have the same key.
func AppendKey(key []byte, name string) []byte {
	for s := name; s != ""; {
		switch c := s[0]; {
		case isDigit(c):
			n := digits(s)
			key = appendNumber(key, s[:n])
			s = s[n:]
		case c < utf8.RuneSelf:
			key = append(key, lower(c))
			s = s[1:]
		default:
			r, n := utf8.DecodeRuneInString(s)
			key = utf8.AppendRune(key, unicode.ToLower(r))
			s = s[n:]
		}
	}
	return key
}

// appendNumber appends a number of any length: a digit, so that it has the place of
// numbers among other characters, then its length without leading zeros, and its digits.
func appendNumber(key []byte, number string) []byte {
	number = strings.TrimLeft(number, "0")
	key = append(key, '0')
	n := len(number)
	for ; n >= 0xff; n -= 0xff {
		key = append(key, 0xff)
	}
	key = append(key, byte(n))
	return append(key, number...)
}

func isDigit(c byte) bool { return '0' <= c && c <= '9' }

func lower(c byte) byte {
	if 'A' <= c && c <= 'Z' {
		return c + 'a' - 'A'
	}
	return c
}

// digits returns the length of the number that s begins with.
func digits(s string) int {
	n := 0
	for n < len(s) && isDigit(s[n]) {
		n++
	}
	return n
}
