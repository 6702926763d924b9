package natural

import (
	"math/rand/v2"
	"slices"
	"testing"
)

func TestCompare_OrdersNamesAsPeopleExpect(t *testing.T) {
	want := []string{"", "!", "0", "00", "01", "1", "1a", "2", "10", "a", "A1", "a2", "a02b", "a2c", "a10", "B", "b ", "b.txt", "img9.png", "IMG10.png", "straße", "Z", "Ä", "äb", "日本2", "日本10"}
	got := slices.Clone(want)
	rand.Shuffle(len(got), func(i, j int) { got[i], got[j] = got[j], got[i] })
	slices.SortFunc(got, Compare)
	if !slices.Equal(got, want) {
		t.Errorf("got  %q\nwant %q", got, want)
	}
	big := "9" + string(slices.Repeat([]byte{'0'}, 40))
	if Compare("a"+big, "a"+big+"0") >= 0 || Compare("a8"+big, "a9"+big) >= 0 {
		t.Error("numbers beyond 64 bits are not compared by value")
	}
}

func FuzzCompare_IsAnOrder(f *testing.F) {
	for _, s := range [][3]string{{"a1", "A01", "a10"}, {"Ⅷ", "K", "k"}, {"\xff", "�", "0"}, {"İ", "i", "I"}} {
		f.Add(s[0], s[1], s[2])
	}
	f.Fuzz(func(t *testing.T, a, b, c string) {
		if Compare(a, b) != -Compare(b, a) || (Compare(a, b) == 0) != (a == b) {
			t.Fatalf("%q and %q: %d, %d", a, b, Compare(a, b), Compare(b, a))
		}
		if Compare(a, b) <= 0 && Compare(b, c) <= 0 && Compare(a, c) > 0 {
			t.Fatalf("%q ≤ %q ≤ %q, but not the first and the last", a, b, c)
		}
	})
}
