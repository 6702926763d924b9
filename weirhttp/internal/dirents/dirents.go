// Package dirents reads the names in a folder and their types, and nothing else: package os
// looks at every file of a folder that was opened through an os.Root, which takes most of
// the time for a folder of 100,000 names.
package dirents

import (
	"io/fs"
	"os"
)

// A Reader reads the entries of a folder. Use it instead of the ReadDir of the folder, and
// from one goroutine at a time.
type Reader struct {
	dir *os.File
	raw raw
}

// New returns a Reader of a folder that nothing has been read of. The caller keeps the
// folder open as long as it uses the Reader or its entries.
func New(dir *os.File) *Reader { return &Reader{dir: dir} }

// Read returns the next entries, at most n. Like ReadDir it returns [io.EOF] when there are
// none left. The Info of an entry looks at the file, or at the link itself.
func (r *Reader) Read(n int) ([]fs.DirEntry, error) { return r.raw.read(r.dir, n) }
