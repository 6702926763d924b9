package chars

import (
	"errors"
	"testing"
)

func TestWholeRunes_LeavesOutTheBeginningOfACharacter(t *testing.T) {
	for s, want := range map[string]int{
		"": 0, "a": 1, "é": 2, "a\xc3": 1, "a\xe2\x82": 1, "\xf0\x9f\x99": 0,
		"a\xff": 2, "a\x80\x80\x80": 4, // no character begins there
	} {
		if got := WholeRunes([]byte(s)); got != want {
			t.Errorf("%q: %d, want %d", s, got, want)
		}
	}
}

func TestFirstInvalid_SaysWhere(t *testing.T) {
	for s, want := range map[string]int{"": 0, "añb": 4, "a\xff": 1, "ñ\xc3(": 2} {
		if got := FirstInvalid([]byte(s)); got != want {
			t.Errorf("%q: %d, want %d", s, got, want)
		}
	}
}

func TestStart_TakesAMarkHoweverItComes(t *testing.T) {
	var s Start
	for i, b := range []byte("\xef\xbb\xbf") {
		text, left, err := s.Take([]byte{b})
		if len(text) != 0 || err != nil || (left == 3) != (i == 2) || s.Over() != (i == 2) {
			t.Fatalf("after byte %d: %q, %d bytes left out, %v", i, text, left, err)
		}
	}
	if text, _, err := s.Take([]byte("\xef\xbb\xbfx")); string(text) != "\xef\xbb\xbfx" || err != nil {
		t.Errorf("a mark within the text: %q, %v", text, err)
	}
}

func TestStart_KeepsWhatIsNoMark(t *testing.T) {
	var s Start
	if text, _, err := s.Take([]byte("\xef\xbb")); len(text) != 0 || err != nil || s.Held() != 2 {
		t.Fatalf("%q, %v, %d bytes held", text, err, s.Held())
	}
	if got := s.Rest(); string(got) != "\xef\xbb" || !s.Over() || s.Rest() != nil {
		t.Errorf("%q", got)
	}
}

func TestStart_RefusesUTF16(t *testing.T) {
	for _, mark := range []string{"\xff\xfe", "\xfe\xff"} {
		var s Start
		if _, _, err := s.Take([]byte(mark + "a")); !errors.Is(err, ErrInvalid) {
			t.Errorf("%q: %v", mark, err)
		}
	}
}
