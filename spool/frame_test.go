package spool

import (
	"bytes"
	"testing"
)

func testSegment() []byte {
	id := logID{1, 2, 3, 4, 5}
	p := make([]byte, headLen)
	head{id: id, first: 10, number: 3, mode: modeDurable}.put(p)
	offset := int64(10)
	for _, f := range []struct {
		kind     byte
		contents string
	}{{kindCheck, `{"offset":10}`}, {kindData, "hello"}, {kindData, "w"}, {kindCheck, `{"offset":16}`}} {
		h := make([]byte, frameLen)
		frame{kind: f.kind, length: len(f.contents), sum: sum([]byte(f.contents)), offset: offset, synced: headLen}.put(h, &id)
		p = append(append(p, h...), f.contents...)
		if f.kind == kindData {
			offset += int64(len(f.contents))
		}
	}
	return p
}

func TestFrame_IsReadAsItWasWritten(t *testing.T) {
	p := testSegment()
	h, err := parseHead(p)
	if err != nil || h != (head{logID{1, 2, 3, 4, 5}, 10, 3, modeDurable}) {
		t.Fatalf("%+v, %v", h, err)
	}
	at, offset, check, wrong, err := scan(bytes.NewReader(p), int64(len(p)), h.first, &h.id)
	if at != int64(len(p)) || offset != 16 || string(check) != `{"offset":16}` || wrong != nil || err != nil {
		t.Errorf("%d, %d, %s, %v, %v", at, offset, check, wrong, err)
	}
	f, err := parseFrame(p[headLen:], nil)
	if want := (frame{kindCheck, 13, sum([]byte(`{"offset":10}`)), 10, headLen}); err != nil || f != want {
		t.Errorf("%+v, %v", f, err)
	}
	if _, err := parseFrame(p[headLen:], &logID{9}); err == nil {
		t.Error("a frame of another log was accepted")
	}
}

// Whatever a segment contains, it is scanned to its end or to the first frame that is
// not valid, and what is accepted would be written like that.
func FuzzScan_AcceptsOnlyWhatWouldBeWritten(f *testing.F) {
	p := testSegment()
	f.Add(p)
	f.Add(p[:len(p)-1])
	f.Add(p[:headLen+frameLen-1])
	f.Add(append(bytes.Clone(p), make([]byte, 100)...))
	f.Add([]byte(headMagic))
	f.Fuzz(func(t *testing.T, p []byte) {
		h, err := parseHead(p)
		if err != nil {
			proof(bytes.NewReader(p), 0, nil)
			return
		}
		again := make([]byte, headLen)
		h.put(again)
		at, offset, check, wrong, err := scan(bytes.NewReader(p), int64(len(p)), h.first, &h.id)
		if err != nil || at < headLen || at > int64(len(p)) || offset < h.first || wrong == nil && at != int64(len(p)) || check != nil && at < headLen+frameLen+int64(len(check)) {
			t.Fatalf("%d, %d, %q, %v, %v", at, offset, check, wrong, err)
		}
		sum := h.first
		for i := int64(headLen); i < at; {
			f, err := parseFrame(p[i:], &h.id)
			if err != nil || f.offset != sum {
				t.Fatalf("%+v, %v", f, err)
			}
			again := make([]byte, frameLen)
			f.put(again, &h.id)
			if !bytes.Equal(again[8:], p[i+8:i+frameLen]) {
				t.Fatalf("frame at %d would be written in another way", i)
			}
			if i += frameLen + int64(f.length); f.kind == kindData {
				sum += int64(f.length)
			}
		}
		if sum != offset {
			t.Fatalf("offset %d, want %d", offset, sum)
		}
		if i, err := proof(bytes.NewReader(p), at, &h.id); err != nil || i >= 0 && i < at {
			t.Fatalf("proof of %d at %d, %v", at, i, err)
		}
	})
}
