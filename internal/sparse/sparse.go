// Package sparse writes files with holes through memory, for the ways on which
// the kernel does not copy them.
package sparse

import (
	"bytes"
	"io"
	"io/fs"
	"os"
)

// block is the smallest hole: file systems allocate no less.
const block = 4 << 10

var zeros [block]byte

// Is reports whether info describes a regular file that takes less space than
// its length, so that there are holes in it.
func Is(info fs.FileInfo) bool {
	return info.Mode().IsRegular() && info.Size() > 0 && isSparse(info)
}

// Writer writes to a file from its current position on, and leaves out blocks
// of zeros. The file must hold nothing behind that position. End must be called
// when everything is written. A Writer is for one goroutine.
type Writer struct {
	f     *os.File
	at    int64
	holed bool // it ends in a hole, which only a truncation makes
}

// NewWriter returns a writer to f.
func NewWriter(f *os.File) (*Writer, error) {
	at, err := f.Seek(0, io.SeekCurrent)
	return &Writer{f: f, at: at}, err
}

// Write writes p and returns how many bytes the file has grown by, holes
// included.
func (w *Writer) Write(p []byte) (total int, err error) {
	for len(p) > 0 && err == nil {
		n := 0
		if hole := w.zeros(p); hole > 0 {
			n = hole
			_, err = w.f.Seek(int64(hole), io.SeekCurrent)
			w.holed = true
		} else {
			n, err = w.f.Write(p[:w.data(p)])
			w.holed = w.holed && n == 0
		}
		w.at += int64(n)
		total += n
		p = p[n:]
	}
	return total, err
}

// zeros returns how many bytes at the front of p can be a hole.
func (w *Writer) zeros(p []byte) int {
	if w.at%block != 0 {
		return 0
	}
	n := 0
	for len(p)-n >= block && bytes.Equal(p[n:n+block], zeros[:]) {
		n += block
	}
	return n
}

// data returns how many bytes at the front of p must be written.
func (w *Writer) data(p []byte) int {
	n := int(block - w.at%block)
	for n < len(p) && (len(p)-n < block || !bytes.Equal(p[n:n+block], zeros[:])) {
		n += block
	}
	return min(n, len(p))
}

// End gives the file its length if it ends in a hole.
func (w *Writer) End() error {
	if !w.holed {
		return nil
	}
	w.holed = false
	return w.f.Truncate(w.at)
}
