package writeback

import (
	"os"
	"testing"
)

func TestFlusher_AsksForEachPieceOnce(t *testing.T) {
	f, err := os.CreateTemp(t.TempDir(), "")
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if err := f.Truncate(4 * piece); err != nil {
		t.Fatal(err)
	}
	e := New(true, 0)
	for i := range 2 {
		e.Wrote(f, piece-1)
		if e.from != int64(i)*piece {
			t.Errorf("asked for %d bytes too early", e.from)
		}
		e.Wrote(f, 1)
		if e.from != int64(i+1)*piece || e.to != e.from {
			t.Errorf("from %d to %d", e.from, e.to)
		}
	}
	var off Flusher
	if off.Wrote(f, 10*piece); off.from != 0 {
		t.Error("the zero Flusher asks")
	}
}
