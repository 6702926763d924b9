package kernelcopy

import (
	"errors"
	"io"
	"os"
	"syscall"
)

// lseek(2), Linux 3.1 and later.
const (
	seekData = 3
	seekHole = 4
)

// keepHoles makes a mover between regular files skip the holes of the source.
// It does so only if the source has holes and the destination is written at its
// end, where no old data must be overwritten with zeros.
func keepHoles(dst, src *os.File, data mover) mover {
	if !sparse(src) {
		return data
	}
	at, err := dst.Seek(0, io.SeekCurrent)
	if err != nil {
		return data
	}
	if st, err := dst.Stat(); err != nil || st.Size() > at {
		return data
	}
	return func(t *transfer, max int64) (total int64, err error) {
		for total < max && err == nil {
			if t.g.over() {
				return total, errEnded
			}
			var n int64
			n, err = sparsePiece(t, dst, src, max-total, data)
			total += n
			if n == 0 {
				break
			}
		}
		return total, err
	}
}

func sparse(f *os.File) bool {
	if f == nil {
		return false
	}
	info, err := f.Stat()
	if err != nil {
		return false
	}
	st, ok := info.Sys().(*syscall.Stat_t)
	return ok && st.Blocks*512 < info.Size()
}

// sparsePiece moves a part of the next stretch of data, or steps over a part of
// the next hole, at most max bytes.
func sparsePiece(t *transfer, dst, src *os.File, max int64, data mover) (int64, error) {
	at, err := src.Seek(0, io.SeekCurrent)
	if err != nil {
		return 0, err
	}
	begin, err := src.Seek(at, seekData)
	switch {
	case errors.Is(err, syscall.ENXIO): // a hole up to the end, or the end
		end, err := src.Seek(0, io.SeekEnd)
		if err != nil {
			return 0, err
		}
		return skip(dst, src, at, min(end-at, max))
	case err != nil: // the file system does not report holes
		return data(t, max)
	case begin > at:
		return skip(dst, src, at, min(begin-at, max))
	}
	end, err := src.Seek(at, seekHole)
	if err != nil {
		end = at + max
	}
	if _, err := src.Seek(at, io.SeekStart); err != nil {
		return 0, err
	}
	return data(t, min(end-at, max))
}

// skip makes n bytes of the source, from at on, a hole in the destination. The
// destination grows at once, since the hole may be the last of it.
func skip(dst, src *os.File, at, n int64) (int64, error) {
	if n < 0 {
		n = 0 // it was truncated after Stat
	}
	if _, err := src.Seek(at+n, io.SeekStart); err != nil || n == 0 {
		return 0, err
	}
	to, err := dst.Seek(n, io.SeekCurrent)
	if err == nil {
		err = dst.Truncate(to)
	}
	if err != nil {
		return 0, err
	}
	return n, nil
}
