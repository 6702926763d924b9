// Package natural orders names as people expect: "a2" before "a10", and "B" after "a".
package natural

import (
	"cmp"
	"strings"
	"unicode"
	"unicode/utf8"
)

// Compare compares two names without regard to case, and the numbers in them by their
// values. Names that differ only in case or leading zeros are compared byte by byte, so
// the result is 0 only for equal names.
func Compare(a, b string) int {
	x, y := a, b
	for x != "" && y != "" {
		if isDigit(x[0]) && isDigit(y[0]) {
			m, n := digits(x), digits(y)
			if c := compareNumbers(x[:m], y[:n]); c != 0 {
				return c
			}
			x, y = x[m:], y[n:]
			continue
		}
		if x[0] < utf8.RuneSelf && y[0] < utf8.RuneSelf {
			if c := cmp.Compare(lower(x[0]), lower(y[0])); c != 0 {
				return c
			}
			x, y = x[1:], y[1:]
			continue
		}
		r, m := utf8.DecodeRuneInString(x)
		s, n := utf8.DecodeRuneInString(y)
		if c := cmp.Compare(unicode.ToLower(r), unicode.ToLower(s)); c != 0 {
			return c
		}
		x, y = x[m:], y[n:]
	}
	if c := cmp.Compare(len(x), len(y)); x == "" || y == "" {
		if c != 0 {
			return c
		}
	}
	return strings.Compare(a, b)
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

// compareNumbers compares numbers of any length.
func compareNumbers(a, b string) int {
	a, b = strings.TrimLeft(a, "0"), strings.TrimLeft(b, "0")
	return cmp.Or(cmp.Compare(len(a), len(b)), strings.Compare(a, b))
}
