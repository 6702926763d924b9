package inflate

import (
	"bufio"
	"io"
)

const (
	inSize = 32 << 10 // a power of two: see Decoder.fast
	inMask = inSize - 1
	inSlop = 8 // a load of 8 bytes may begin at any byte
)

// InputHolds is at least the size of an Input, which allocates nothing else.
const InputHolds = 33 << 10

// Input is a buffered reader that a [Decoder] reads from without copying. Its
// methods do the same as the methods of [bufio.Reader], so that a container
// format can be read around the compressed data. Call Reset before use.
//
// An Input reads from its source only when a caller needs more than the buffer
// holds, and makes one call of Read at a time.
type Input struct {
	buf  [inSize + inSlop]byte
	r, w int // buf[r:w] was read from src and not used yet
	src  io.Reader
	err  error // the error of src, to be returned behind buf[r:w]
}

// Reset drops everything buffered and begins to read from src.
func (in *Input) Reset(src io.Reader) {
	in.r, in.w, in.src, in.err = 0, 0, src, nil
}

// Resume keeps the buffered data and reads the data after it from src, after
// the previous source has returned an error.
func (in *Input) Resume(src io.Reader) { in.src, in.err = src, nil }

// Buffered returns how many bytes can be read without asking the source.
func (in *Input) Buffered() int { return in.w - in.r }

// fill reads from the source once, or more often as long as it gets nothing. It
// returns an error only if it got nothing.
func (in *Input) fill() error { return in.fillTo(inSize) }

// fillTo is fill of at most n bytes, or of one byte more than there are.
func (in *Input) fillTo(n int) error {
	if in.r > 0 {
		in.w = copy(in.buf[:], in.buf[in.r:in.w])
		in.r = 0
	}
	if in.w >= inSize {
		return bufio.ErrBufferFull
	}
	n, err := in.read(in.buf[in.w:max(n, in.w+1)])
	in.w += n
	return err
}

// read reads from the source, as fill does.
func (in *Input) read(p []byte) (int, error) {
	for range 100 {
		if in.err != nil {
			return 0, in.err
		}
		var n int
		n, in.err = in.src.Read(p)
		if n > 0 {
			return n, nil
		}
	}
	return 0, io.ErrNoProgress
}

// Peek returns the next n bytes without using them. It returns fewer, and an
// error, if the source ends before, or if n is larger than the buffer of 32 KiB.
// They are valid until the next call of another method.
func (in *Input) Peek(n int) ([]byte, error) {
	var err error
	for in.w-in.r < n && err == nil {
		err = in.fill()
	}
	return in.buf[in.r : in.r+min(n, in.w-in.r)], err
}

// Discard skips n bytes, and returns how many it has skipped; fewer than n only
// with an error.
func (in *Input) Discard(n int) (skipped int, err error) {
	for {
		k := min(n-skipped, in.w-in.r)
		in.r += k
		skipped += k
		if skipped == n {
			return n, nil
		}
		if err := in.fill(); err != nil {
			return skipped, err
		}
	}
}

// Read reads up to len(p) bytes, with at most one successful Read of the source,
// which goes straight into p if nothing is buffered and p is large.
func (in *Input) Read(p []byte) (int, error) {
	if len(p) == 0 {
		return 0, nil
	}
	if in.r == in.w {
		if len(p) >= inSize/2 {
			return in.read(p)
		}
		if err := in.fill(); err != nil {
			return 0, err
		}
	}
	n := copy(p, in.buf[in.r:in.w])
	in.r += n
	return n, nil
}

// ReadByte returns the next byte.
func (in *Input) ReadByte() (byte, error) {
	if in.r == in.w {
		if err := in.fill(); err != nil {
			return 0, err
		}
	}
	b := in.buf[in.r]
	in.r++
	return b, nil
}
