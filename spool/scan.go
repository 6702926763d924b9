package spool

import (
	"bytes"
	"fmt"
	"hash/crc32"
	"io"
)

// proof returns the place of a frame behind at that says that at was synced when the
// frame was written, or -1. A crash can destroy only bytes that were not synced.
func proof(r io.ReaderAt, at int64, id *logID) (int64, error) {
	p := make([]byte, 64<<10)
	for begin := at; ; begin += int64(len(p) - frameLen + 1) {
		n, err := r.ReadAt(p, begin)
		if err != nil && err != io.EOF {
			return -1, err
		}
		for i := 0; i+frameLen <= n; i++ {
			if p[i] != frameMagic[0] {
				continue
			}
			if f, err := parseFrame(p[i:n], id); err == nil && f.synced > at {
				return begin + int64(i), nil
			}
		}
		if err == io.EOF {
			return -1, nil
		}
	}
}

// scan reads the frames of a segment, whose head is valid. It returns where the first
// frame begins that is not valid, or where the segment ends; the offset in the log
// there; the last checkpoint; and what is wrong with the frame. Of frames that a later
// frame proves to be synced, it reads the contents only if they are a checkpoint: a
// crash cannot have destroyed them, and a reader compares their sums.
func scan(r io.ReaderAt, size, first int64, id *logID) (at, offset int64, check []byte, wrong, err error) {
	synced := int64(0)
	if _, _, _, _, err := walk(r, size, first, id, func(f frame, _ int64) bool { synced = max(synced, f.synced); return false }); err != nil {
		return 0, 0, nil, nil, err
	}
	return walk(r, size, first, id, func(f frame, at int64) bool { return f.kind == kindCheck || at >= synced })
}

// walk is scan that reads the contents of those frames for which reads returns true.
func walk(r io.ReaderAt, size, first int64, id *logID, reads func(f frame, at int64) bool) (at, offset int64, check []byte, wrong, err error) {
	var window [4 << 10]byte // so that small frames are not read one by one
	begin, have := int64(0), 0
	h := crc32.New(castagnoli)
	for at, offset = headLen, first; ; {
		if at < begin || at+frameLen > begin+int64(have) {
			n, err := r.ReadAt(window[:], at)
			if err != nil && err != io.EOF {
				return at, offset, check, nil, err
			}
			if begin, have = at, n; n == 0 {
				return at, offset, check, nil, nil
			}
		}
		f, wrong := parseFrame(window[at-begin:have], id)
		if wrong == nil && (f.offset != offset || f.synced > at) {
			wrong = errNoFrame
		}
		if wrong != nil {
			return at, offset, check, wrong, nil
		}
		end := at + frameLen + int64(f.length)
		if end > size {
			return at, offset, check, errShort, nil
		}
		if reads(f, at) {
			h.Reset()
			var contents bytes.Buffer // of a checkpoint
			to := io.Writer(h)
			if f.kind == kindCheck {
				to = io.MultiWriter(h, &contents)
			}
			n, err := io.Copy(to, io.NewSectionReader(r, at+frameLen, int64(f.length)))
			switch {
			case err != nil:
				return at, offset, check, nil, err
			case n < int64(f.length):
				return at, offset, check, errShort, nil
			case h.Sum32() != f.sum:
				return at, offset, check, errFrameSum, nil
			}
			if f.kind == kindCheck {
				check = contents.Bytes()
			}
		}
		if f.kind == kindData {
			offset += int64(f.length)
		}
		at = end
	}
}

// damaged is the error of a segment.
func damaged(number, at int64, err error) error {
	return fmt.Errorf("%w: byte %d of %s: %w; remove the folder to begin anew", ErrDamaged, at, segmentName(number), err)
}
