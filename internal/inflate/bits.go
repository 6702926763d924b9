package inflate

import "encoding/binary"

// bitReader reads bits from the buffer of an Input.
type bitReader struct {
	buf    *[inSize + inSlop]byte
	p, end int
	bits   uint64
	nbits  uint
}

// take returns the next n <= 32 bits, or false if they are not there.
func (b *bitReader) take(n uint) (uint, bool) {
	if b.nbits < n {
		b.fill()
	}
	if b.nbits < n {
		return 0, false
	}
	v := uint(b.bits & (1<<n - 1))
	b.drop(n)
	return v, true
}

func (b *bitReader) drop(n uint) {
	b.bits >>= n
	b.nbits -= n
}

// fill loads bits up to at least 56, or all that are there.
func (b *bitReader) fill() {
	if b.end-b.p >= 8 {
		b.bits |= binary.LittleEndian.Uint64(b.buf[b.p:]) << b.nbits
		b.p += int(7 - b.nbits/8)
		b.nbits |= 56
		return
	}
	for b.nbits < 56 && b.p < b.end {
		b.bits |= uint64(b.buf[b.p]) << b.nbits
		b.nbits += 8
		b.p++
	}
}
