package weirhttp

import "os"

// earlyFlush begins to bring a file to stable storage while it is still being
// written, so that little is left to wait for at its end. The zero earlyFlush
// does nothing.
type earlyFlush struct {
	on       bool
	from, to int64 // what has been written since it was asked for last
}

// flushPiece is after how many bytes the system is asked to begin.
const flushPiece = 8 << 20

func newEarlyFlush(on bool, at int64) earlyFlush { return earlyFlush{on, at, at} }

// wrote says that n bytes more are in f.
func (e *earlyFlush) wrote(f *os.File, n int64) {
	if e.to += n; e.on && e.to-e.from >= flushPiece {
		// Only Sync knows whether it has worked.
		_ = beginFlush(f, e.from, e.to-e.from)
		e.from = e.to
	}
}
