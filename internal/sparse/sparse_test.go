package sparse

import (
	"bytes"
	"math/rand/v2"
	"os"
	"path/filepath"
	"runtime"
	"testing"
)

func TestWriter_KeepsTheContentsAndLeavesOutZeros(t *testing.T) {
	rnd := rand.New(rand.NewPCG(1, 2))
	dir := t.TempDir()
	for round := range 200 {
		var want []byte
		for range rnd.IntN(8) {
			piece := make([]byte, rnd.IntN(5*block))
			if rnd.IntN(2) == 0 {
				for i := range piece {
					piece[i] = byte(rnd.Uint32())
				}
			}
			want = append(want, piece...)
		}
		f, err := os.Create(filepath.Join(dir, "file"))
		if err != nil {
			t.Fatal(err)
		}
		head := rnd.IntN(3) * 100
		if _, err := f.Write(make([]byte, head)); err != nil {
			t.Fatal(err)
		}
		w, err := NewWriter(f)
		if err != nil {
			t.Fatal(err)
		}
		for rest := want; len(rest) > 0; {
			n := min(len(rest), 1+rnd.IntN(3*block))
			if m, err := w.Write(rest[:n]); m != n || err != nil {
				t.Fatalf("Write = %d, %v; want %d", m, err, n)
			}
			rest = rest[n:]
		}
		if err := w.End(); err != nil {
			t.Fatal(err)
		}
		f.Close()
		got, err := os.ReadFile(f.Name())
		if err != nil || !bytes.Equal(got, append(make([]byte, head), want...)) {
			t.Fatalf("round %d: %d bytes, want %d (%v)", round, len(got), head+len(want), err)
		}
	}
}

func TestWriter_MakesHoles(t *testing.T) {
	if runtime.GOOS != "linux" {
		t.Skip("whether a file has holes depends on the file system")
	}
	f, err := os.Create(filepath.Join(t.TempDir(), "file"))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	w, err := NewWriter(f)
	if err != nil {
		t.Fatal(err)
	}
	buf := make([]byte, 1<<20)
	for range 16 {
		if _, err := w.Write(buf); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.End(); err != nil {
		t.Fatal(err)
	}
	info, err := f.Stat()
	if err != nil || info.Size() != 16<<20 || !Is(info) {
		t.Errorf("%d bytes, sparse %v, %v", info.Size(), Is(info), err)
	}
}
