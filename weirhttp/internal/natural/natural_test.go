package natural

import (
	"bytes"
	"cmp"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"unicode"
	"unicode/utf8"
)

// compare orders names by their keys, and names of one key byte by byte.
func compare(a, b string) int {
	return cmp.Or(bytes.Compare(AppendKey(nil, a), AppendKey(nil, b)), strings.Compare(a, b))
}

func TestAppendKey_OrdersNamesAsPeopleExpect(t *testing.T) {
	want := []string{"", "!", "0", "00", "01", "1", "1a", "2", "10", "a", "A1", "a2", "a02b", "a2c", "a10", "B", "b ", "b.txt", "img9.png", "IMG10.png", "straße", "Z", "Ä", "äb", "日本2", "日本10"}
	got := slices.Clone(want)
	rand.Shuffle(len(got), func(i, j int) { got[i], got[j] = got[j], got[i] })
	slices.SortFunc(got, compare)
	if !slices.Equal(got, want) {
		t.Errorf("got  %q\nwant %q", got, want)
	}
	for _, n := range []int{20, 40, 254, 255, 256, 509, 510, 511, 1000} { // digits
		big := "9" + strings.Repeat("0", n-1)
		for _, pair := range [][2]string{{"a" + big, "a" + big + "0"}, {"a8" + big, "a9" + big}, {"a" + big, "a" + big + "b"}, {"a9", "a" + big}} {
			if compare(pair[0], pair[1]) >= 0 {
				t.Errorf("%.20s… and %.20s…, with numbers of %d digits, are not compared by value", pair[0], pair[1], n)
			}
		}
	}
}

// FuzzAppendKey_IsTheOrderOfTheCharacters compares the order of the keys with one that looks at
// the names character by character.
func FuzzAppendKey_IsTheOrderOfTheCharacters(f *testing.F) {
	for _, s := range [][2]string{{"a1", "A01"}, {"Ⅷ", "K"}, {"\xff", "�"}, {"İ1", "i2"}, {"a\x00", "a00"}, {"x/", "x1"}, {"x:", "x1"}, {strings.Repeat("1", 300), strings.Repeat("1", 555)}} {
		f.Add(s[0], s[1])
	}
	f.Fuzz(func(t *testing.T, a, b string) {
		if got, want := compare(a, b), byCharacters(a, b); got != want {
			t.Fatalf("%q and %q: %d, want %d", a, b, got, want)
		}
	})
}

func FuzzAppendKey_IsAnOrder(f *testing.F) {
	for _, s := range [][3]string{{"a1", "A01", "a10"}, {"Ⅷ", "K", "k"}, {"\xff", "�", "0"}, {"İ", "i", "I"}} {
		f.Add(s[0], s[1], s[2])
	}
	f.Fuzz(func(t *testing.T, a, b, c string) {
		if compare(a, b) != -compare(b, a) || (compare(a, b) == 0) != (a == b) {
			t.Fatalf("%q and %q: %d, %d", a, b, compare(a, b), compare(b, a))
		}
		if compare(a, b) <= 0 && compare(b, c) <= 0 && compare(a, c) > 0 {
			t.Fatalf("%q ≤ %q ≤ %q, but not the first and the last", a, b, c)
		}
	})
}

// byCharacters is the order of names without keys.
func byCharacters(a, b string) int {
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

// compareNumbers compares numbers of any length.
func compareNumbers(a, b string) int {
	a, b = strings.TrimLeft(a, "0"), strings.TrimLeft(b, "0")
	return cmp.Or(cmp.Compare(len(a), len(b)), strings.Compare(a, b))
}
