package compress

import (
	"bytes"
	"testing"
)

func TestSizes_AreFoundAmongOtherFields(t *testing.T) {
	head := func(extra string) []byte {
		b := appendGzipHead(nil, 6, flagExtra)
		return append(append(b, byte(len(extra)), byte(len(extra)>>8)), extra...)
	}
	for _, c := range []struct {
		extra  string
		member int // 0 for none
		plain  int
	}{
		{"", 0, 0},
		{"WR", 0, 0},
		{"WR\x08\x00\x00\x01\x00\x00\x07\x00\x00\x00", 256, 7},
		{"WR\x08\x00\x00\x01\x00\x00\x07\x00\x00", 0, 0},
		{"WR\x04\x00\x00\x01\x00\x00", 0, 0},
		{"Ap\x01\x00xWR\x08\x00\x00\x01\x00\x00\x07\x00\x00\x00", 256, 7},
		{"Ap\xff\xffxWR\x08\x00\x00\x01\x00\x00\x07\x00\x00\x00", 0, 0},
		{"BC\x02\x00\xff\x00", 256, bgzfInput},
		{"BC\x02\x00\xff\xff", 1 << 16, bgzfInput},
		{"BC\x02\x00\x00\x00", 0, 0},
		{"BC\x03\x00\xff\x00\x00", 0, 0},
		{"XY\x00\x00BC\x02\x00\xff\x00", 256, bgzfInput},
	} {
		s, ok := parseSizes(head(c.extra))
		if ok != (c.member > 0) || ok && (s.member != c.member || s.plain != c.plain || s.head != 12+len(c.extra)) {
			t.Errorf("%q: %+v, %v", c.extra, s, ok)
		}
	}
	named := head("BC\x02\x00\xff\x00")
	named[3] |= 8
	if s, ok := parseSizes(named); ok {
		t.Errorf("with a name: %+v", s)
	}
}

func FuzzSizes_StayInTheirField(f *testing.F) {
	f.Add(appendSizedHead(nil, 6, 100))
	f.Add([]byte("\x1f\x8b\x08\x04\x00\x00\x00\x00\x00\xff\x06\x00BC\x02\x00\xff\x00"))
	f.Fuzz(func(t *testing.T, head []byte) {
		s, ok := parseSizes(head)
		if !ok {
			return
		}
		if s.head != len(head) || s.member < s.head+gzipTrailer || s.member > memberMost || s.plain < 0 || s.plain > memberInput {
			t.Errorf("%x: %+v", head, s)
		}
		if !bytes.Contains(head, []byte("WR\x08\x00")) && !bytes.Contains(head, []byte("BC\x02\x00")) {
			t.Errorf("%x has no subfield: %+v", head, s)
		}
	})
}
