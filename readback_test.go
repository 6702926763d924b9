package weir_test

import (
	"bytes"
	"crypto/sha256"
	"errors"
	"hash"
	"os"
	"path/filepath"
	"testing"

	"github.com/weir-go/weir"
)

// wrongHash is a digest that differs each time it is asked.
type wrongHash struct {
	hash.Hash
	asked byte
}

func (h *wrongHash) Sum(b []byte) []byte {
	h.asked++
	h.Write([]byte{h.asked})
	return h.Hash.Sum(b)
}

func TestReadBack_ComparesBeforeTheFileTakesItsName(t *testing.T) {
	name := filepath.Join(t.TempDir(), "out")
	data := bytes.Repeat([]byte("weir"), 100_000)
	err := weir.FromReader(bytes.NewReader(data)).To(weir.Create(name, weir.ReadBack(sha256.New))).Run(t.Context())
	if got, rerr := os.ReadFile(name); err != nil || rerr != nil || !bytes.Equal(got, data) {
		t.Fatalf("Run = %v; %d bytes, %v", err, len(got), rerr)
	}
	more := weir.FromReader(bytes.NewReader(data[1:])).To(weir.Append(name, weir.ReadBack(sha256.New)))
	if err := more.Run(t.Context()); err != nil {
		t.Errorf("appending: %v", err)
	}

	bad := filepath.Join(t.TempDir(), "bad")
	err = weir.FromReader(bytes.NewReader(data)).To(weir.Create(bad, weir.ReadBack(func() hash.Hash { return &wrongHash{Hash: sha256.New()} }))).Run(t.Context())
	if !errors.Is(err, weir.ErrReadBack) {
		t.Errorf("Run = %v", err)
	}
	if left, _ := os.ReadDir(filepath.Dir(bad)); len(left) != 0 {
		t.Errorf("left: %v", left)
	}
}

// cutHash cuts the files of a folder short when it is asked.
type cutHash struct {
	hash.Hash
	dir string
}

func (h *cutHash) Sum(b []byte) []byte {
	files, _ := filepath.Glob(filepath.Join(h.dir, ".*"))
	for _, f := range files {
		os.Truncate(f, 10)
	}
	return h.Hash.Sum(b)
}

func TestReadBack_FailsForAShorterFile(t *testing.T) {
	dir := t.TempDir()
	back := weir.ReadBack(func() hash.Hash { return &cutHash{sha256.New(), dir} })
	err := weir.FromSlice(make([]byte, 1000)).To(weir.Create(filepath.Join(dir, "out"), back)).Run(t.Context())
	if !errors.Is(err, weir.ErrReadBack) {
		t.Errorf("Run = %v", err)
	}
}
