// Package ranges reads the Range field of a request (RFC 9110, 14).
package ranges

import (
	"math"
	"strings"
)

// Range is a part of a representation: N bytes from offset Off. N is at least 1.
type Range struct{ Off, N int64 }

// Answer says how to answer a request that has a Range field.
type Answer int

const (
	Whole         Answer = iota // ignore the field
	Parts                       // send the ranges that Parse returns
	Unsatisfiable               // refuse with 416
)

// Most is how many ranges a request can have. The field of a request that has more is
// ignored: the headers of many small parts are longer than the parts.
const Most = 256

// Parse reads the lines of a Range field for a representation of size bytes. The ranges
// are in the order of the request. They can overlap, but together they are not longer
// than the representation.
//
// Fields with another unit than bytes are ignored, as the RFC demands. A field that is
// not well formed is refused, which it allows. Positions can have any number of digits.
// No range can be satisfied by an empty representation, which is sent whole.
func Parse(lines []string, size int64) ([]Range, Answer) {
	if len(lines) == 0 || size <= 0 {
		return nil, Whole
	}
	unit, set, ok := strings.Cut(strings.Trim(strings.Join(lines, ","), " \t"), "=")
	if !ok || !strings.EqualFold(unit, "bytes") {
		return nil, Whole
	}
	var list []Range
	specs, total := 0, int64(0)
	more := false // together they are longer than the representation
	for spec := range strings.SplitSeq(set, ",") {
		spec = strings.Trim(spec, " \t")
		if spec == "" {
			continue // lists can have empty elements
		}
		if specs++; specs > Most {
			return nil, Whole
		}
		r, valid := parse(spec, size)
		if !valid {
			return nil, Unsatisfiable
		}
		if r.N > 0 {
			list = append(list, r)
			more = more || r.N > size-total
			if !more {
				total += r.N
			}
		}
	}
	switch {
	case len(list) == 0:
		return nil, Unsatisfiable
	case more:
		return nil, Whole
	}
	return list, Parts
}

// parse reads one range. A range that is valid but has nothing of the representation has
// no bytes.
func parse(spec string, size int64) (r Range, valid bool) {
	first, last, ok := strings.Cut(spec, "-")
	if !ok {
		return r, false
	}
	first, last = strings.TrimRight(first, " \t"), strings.TrimLeft(last, " \t")
	if first == "" {
		n, ok := number(last)
		n = min(n, size)
		return Range{size - n, n}, ok
	}
	off, ok := number(first)
	if !ok {
		return r, false
	}
	end := int64(math.MaxInt64)
	if last != "" {
		if end, ok = number(last); !ok || compare(first, last) > 0 {
			return r, false
		}
	}
	if off >= size {
		return Range{}, true
	}
	return Range{off, min(end, size-1) - off + 1}, true
}

// number reads digits. A number that is too large for an int64 becomes the largest.
func number(s string) (n int64, ok bool) {
	for i := range len(s) {
		if s[i] < '0' || s[i] > '9' {
			return 0, false
		}
		d := int64(s[i] - '0')
		if n > (math.MaxInt64-d)/10 {
			n = math.MaxInt64
		} else if n < math.MaxInt64 {
			n = n*10 + d
		}
	}
	return n, s != ""
}

// compare compares two numbers of any length.
func compare(a, b string) int {
	a, b = strings.TrimLeft(a, "0"), strings.TrimLeft(b, "0")
	if len(a) != len(b) {
		return len(a) - len(b)
	}
	return strings.Compare(a, b)
}
