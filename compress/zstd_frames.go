package compress

import (
	"bytes"
	"encoding/binary"
	"io"
)

// frameReader passes the frames of an input (RFC 8878, section 3) to a zstd
// decoder, without any data after the last one. It parses the frames far enough
// to know where each ends, because the decoder itself cannot distinguish damage
// within a frame from other data after it.
type frameReader struct {
	in *input

	element zstdElement
	left    int64 // bytes of the element that were not read yet

	head   [18]byte // the largest header, from its magic number on
	have   int      // bytes of head
	frames int      // that have begun
	window uint64   // that the current frame asks for
	check  bool     // a checksum follows the last block
	last   bool     // this block is the last one
	packed bool     // this block is compressed

	offsets zstdOffsets
	err     error // found by offsets
}

type zstdElement int

const (
	zstdBoundary   zstdElement = iota // between frames
	zstdMagic                         // 4 bytes
	zstdDescriptor                    // 1 byte
	zstdHeader                        // the rest of a frame header
	zstdBlockHead                     // 3 bytes
	zstdBlockBody
	zstdChecksum // 4 bytes
	zstdSkipSize // 4 bytes: how long a skippable frame is
	zstdSkipped
)

func (z *frameReader) reset(in *input) {
	z.in, z.element, z.left, z.have, z.frames, z.err = in, zstdBoundary, 0, 0, 0, nil
}

// Read returns io.EOF where no other frame follows, and no more than one
// element at a time.
func (z *frameReader) Read(p []byte) (int, error) {
	if len(p) == 0 || z.err != nil {
		return 0, z.err
	}
	if z.element == zstdBoundary {
		if ok, err := z.begins(); !ok {
			return 0, err
		}
	}
	n, err := z.in.Read(p[:min(int64(len(p)), z.left)])
	if z.element != zstdBlockBody && z.element != zstdSkipped {
		z.have += copy(z.head[z.have:], p[:n])
	}
	checks := z.element == zstdBlockBody && z.packed && !z.check // a checksum finds more
	if checks {
		z.offsets.add(p[:n])
	}
	if z.left -= int64(n); z.left == 0 && n > 0 {
		if checks {
			if z.err = z.offsets.end(); z.err != nil {
				return 0, z.err // before the decoder sees a whole block
			}
		}
		z.next()
	}
	return n, err
}

// begins reports whether a frame begins here. A frame that is cut off is for the
// decoder to judge.
func (z *frameReader) begins() (bool, error) {
	head, err := z.in.Peek(4)
	if len(head) == 0 {
		return false, err
	}
	if !isZstdMagic(head) {
		switch {
		case z.in.src.err != nil:
			return false, z.in.src.err
		case z.frames == 0:
			return false, errMagic
		}
		return false, io.EOF
	}
	z.frames++
	z.enter(zstdMagic, 4)
	return true, nil
}

var (
	zstdMagicNumber = []byte{0x28, 0xb5, 0x2f, 0xfd}
	zstdSkipNumber  = []byte{0x2a, 0x4d, 0x18} // behind a byte from 0x50 to 0x5f
)

// isZstdMagic reports whether head is the magic number of a frame, or the
// beginning of one.
func isZstdMagic(head []byte) bool {
	if bytes.HasPrefix(zstdMagicNumber, head) {
		return true
	}
	return head[0]&0xf0 == 0x50 && bytes.HasPrefix(zstdSkipNumber, head[1:])
}

// enter begins an element of n bytes. The bytes of a frame header are kept
// until its end.
func (z *frameReader) enter(e zstdElement, n int64) {
	if e != zstdDescriptor && e != zstdHeader {
		z.have = 0
	}
	z.element, z.left = e, n
}

// next finds the element behind the one that was read. Elements can be empty.
func (z *frameReader) next() {
	head := z.head[:z.have]
	switch z.element {
	case zstdMagic:
		if head[0]&0xf0 == 0x50 {
			z.enter(zstdSkipSize, 4)
		} else {
			z.enter(zstdDescriptor, 1)
		}
	case zstdDescriptor:
		n := zstdHeaderSize(head[4])
		z.enter(zstdHeader, n)
		if n == 0 { // cannot be: a window or a content size follows
			z.next()
		}
	case zstdHeader:
		z.window = zstdWindow(head[4], head[5:])
		z.check = head[4]&4 != 0
		z.offsets.begin()
		z.enter(zstdBlockHead, 3)
	case zstdBlockHead:
		h := uint32(head[0]) | uint32(head[1])<<8 | uint32(head[2])<<16
		z.last = h&1 != 0
		n := int64(h >> 3)
		z.packed = h>>1&3 == 2
		if h>>1&3 == 1 { // one byte, repeated
			n = 1
		}
		z.enter(zstdBlockBody, n)
		if n == 0 {
			z.next()
		}
	case zstdBlockBody:
		switch {
		case !z.last:
			z.enter(zstdBlockHead, 3)
		case z.check:
			z.enter(zstdChecksum, 4)
		default:
			z.enter(zstdBoundary, 0)
		}
	case zstdSkipSize:
		n := int64(binary.LittleEndian.Uint32(head))
		z.enter(zstdSkipped, n)
		if n == 0 {
			z.enter(zstdBoundary, 0)
		}
	case zstdChecksum, zstdSkipped:
		z.enter(zstdBoundary, 0)
	}
}

// zstdHeaderSize returns how many bytes of a frame header follow its descriptor.
func zstdHeaderSize(descriptor byte) int64 {
	n := [4]int64{0, 1, 2, 4}[descriptor&3] // dictionary
	if descriptor&(1<<5) == 0 {
		n++ // window
	}
	return n + zstdContentSize(descriptor)
}

// zstdContentSize returns how many bytes of a frame header have the size of the
// content.
func zstdContentSize(descriptor byte) int64 {
	switch {
	case descriptor>>6 > 0:
		return 1 << (descriptor >> 6)
	case descriptor&(1<<5) != 0:
		return 1
	}
	return 0
}

// zstdWindow returns the size of the window that a frame header asks for; rest is
// the header behind its descriptor. A frame in a single segment has a window as
// large as its content.
func zstdWindow(descriptor byte, rest []byte) uint64 {
	if descriptor&(1<<5) == 0 {
		base := uint64(1) << (10 + rest[0]>>3)
		return base + base/8*uint64(rest[0]&7)
	}
	var size [8]byte
	n := copy(size[:], rest[len(rest)-int(zstdContentSize(descriptor)):])
	window := binary.LittleEndian.Uint64(size[:])
	if n == 2 {
		window += 256
	}
	return window
}
