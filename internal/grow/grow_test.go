package grow

import (
	"math"
	"testing"
)

func TestFor_TakesAtMostOneAndAHalfTimesTheMaximum(t *testing.T) {
	const most = 1 << 20
	var buf []byte
	for len(buf) < most {
		before := cap(buf)
		buf = Append(buf, make([]byte, 1024), most)
		if after := cap(buf); after != before && before+after > most*3/2 {
			t.Fatalf("%d bytes and %d bytes at the same time, for a maximum of %d", before, after, most)
		}
	}
	if cap(buf) > most {
		t.Errorf("room for %d bytes, the maximum is %d", cap(buf), most)
	}
}

func TestFor_KeepsWhatItHolds(t *testing.T) {
	got := For([]int{1, 2, 3}, 100, 10)
	if len(got) != 3 || got[2] != 3 || cap(got) < 100 {
		t.Errorf("%v with room for %d", got, cap(got))
	}
	if same := For(got, 50, 10); &same[0] != &got[0] {
		t.Error("a slice with enough room was copied")
	}
}

func TestCountable_CanBeMultiplied(t *testing.T) {
	if n := Countable(math.MaxInt64); n*100 < n {
		t.Errorf("100 × %d overflows", n)
	}
	if n := Countable(7); n != 7 {
		t.Error(n)
	}
}
