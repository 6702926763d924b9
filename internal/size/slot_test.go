package size

import "testing"

func TestSlot_IsNeverNothing(t *testing.T) {
	for name, c := range map[string]struct{ got, want int64 }{
		"struct{}":  {Slot[struct{}](), 1},
		"byte":      {Slot[byte](), 1},
		"string":    {Slot[string](), 16},
		"[100]int8": {Slot[[100]int8](), 100},
	} {
		if c.got != c.want {
			t.Errorf("%s takes %d bytes, want %d", name, c.got, c.want)
		}
	}
}

func TestIsByte_IsTrueForByteAlone(t *testing.T) {
	type own byte
	if !IsByte[byte]() || !IsByte[uint8]() || IsByte[own]() || IsByte[int8]() || IsByte[any]() {
		t.Error("a type is taken for another")
	}
}

func TestHasPointers_LooksIntoStructsAndArrays(t *testing.T) {
	type numbers struct {
		A int
		B [3]float64
		C struct{ D bool }
	}
	type deep struct {
		Numbers numbers
		List    [2]struct{ S string }
	}
	if HasPointers[numbers]() || HasPointers[[0]string]() {
		t.Error("numbers have no pointers")
	}
	if !HasPointers[deep]() || !HasPointers[[]byte]() || !HasPointers[any]() || !HasPointers[*int]() {
		t.Error("pointers are overlooked")
	}
}

func TestRefers_CountsWhatValueCounts(t *testing.T) {
	if Refers[int]() != nil {
		t.Error("an int refers to nothing")
	}
	f := Refers[string]()
	if n := f("weir"); n != 4 {
		t.Errorf("%d bytes", n)
	}
}
