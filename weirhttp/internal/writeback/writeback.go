// Package writeback starts bringing a file to stable storage while it is still
// being written, so that the final Sync has little left to wait for.
package writeback

import (
	"os"
)

// Flusher asks the system to write a file to disk in the background, piece by
// piece. The zero Flusher does nothing. It is for one goroutine.
type Flusher struct {
	on       bool
	from, to int64 // written since the last time the system was asked
}

// piece is how many bytes are written before the system is asked to flush them.
const piece = 8 << 20

// New returns a Flusher for a file that will be written from offset at. It does
// nothing unless on is set.
func New(on bool, at int64) Flusher { return Flusher{on, at, at} }

// Wrote records that n more bytes were written to f.
func (e *Flusher) Wrote(f *os.File, n int64) {
	if e.to += n; e.on && e.to-e.from >= piece {
		// An error is ignored: the final Sync reports whether the data is safe.
		_ = begin(f, e.from, e.to-e.from)
		e.from = e.to
	}
}
