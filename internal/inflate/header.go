package inflate

import "encoding/binary"

// header reads the header of the next block. It does nothing, and returns false,
// if not all of it is there yet; a block delivers nothing before, and no header
// has more than 300 bytes.
func (d *Decoder) header() bool {
	b := bitReader{buf: &d.in.buf, p: d.in.r, end: d.in.w, bits: d.bits, nbits: d.nbits}
	head, ok := b.take(3)
	if !ok {
		return false
	}
	final := head&1 != 0
	next := inCodes
	switch head >> 1 {
	case 0:
		b.take(b.nbits % 8) // to the next byte
		size, ok := b.take(32)
		if !ok {
			return false
		}
		if size>>16 != size&0xffff^0xffff {
			d.err = ErrCorrupt
		}
		d.stored = int(size & 0xffff)
		d.little = d.stored >= window/2
		next = inStored
	case 1:
		copy(d.lit[:], fixedLit[:])
		copy(d.dist[:], fixedDist[:])
	case 2:
		if !d.codes(&b) {
			return false
		}
	default:
		d.err = ErrCorrupt
	}
	d.leave(uint(b.p), b.bits, b.nbits)
	if d.err != nil {
		return true
	}
	d.final, d.state = final, next
	if next == inStored && d.stored == 0 {
		d.endBlock()
	}
	return true
}

// codes reads the lengths of the codes of a block and makes their tables. It
// returns false if not all is there.
func (d *Decoder) codes(b *bitReader) bool {
	counts, ok := b.take(5 + 5 + 4)
	if !ok {
		return false
	}
	nlit, ndist, npre := counts&31+257, counts>>5&31+1, counts>>10+4
	if nlit > maxLit || ndist > maxDist {
		d.err = ErrCorrupt
		return true
	}
	var pre [19]uint8
	for _, i := range preOrder[:npre] {
		n, ok := b.take(3)
		if !ok {
			return false
		}
		pre[i] = uint8(n)
	}
	// Its table can use the memory of the table of distances.
	table := d.dist[:1<<preBits]
	if !build(table, preBits, pre[:], preMeans[:]) {
		d.err = ErrCorrupt
		return true
	}
	lens := d.lens[:nlit+ndist]
	for i := 0; i < len(lens); {
		if b.nbits < preBits+7 {
			b.fill()
		}
		e := table[b.bits&(1<<preBits-1)]
		n := uint(e & 0xff)
		if n > b.nbits {
			return false
		}
		if e&special != 0 {
			b.drop(n)
			d.err = ErrCorrupt
			return true
		}
		sym := e >> 16
		if sym < 16 {
			b.drop(n)
			lens[i] = uint8(sym)
			i++
			continue
		}
		var what uint8
		var extra uint
		var times int
		switch sym {
		case 16:
			if i == 0 {
				b.drop(n)
				d.err = ErrCorrupt
				return true
			}
			what, extra, times = lens[i-1], 2, 3
		case 17:
			extra, times = 3, 3
		case 18:
			extra, times = 7, 11
		}
		if n+extra > b.nbits {
			return false
		}
		times += int(b.bits >> n & (1<<extra - 1))
		b.drop(n + extra)
		if times > len(lens)-i {
			d.err = ErrCorrupt
			return true
		}
		for range times {
			lens[i] = what
			i++
		}
	}
	if !build(d.lit[:], litBits, lens[:nlit], litMeans[:]) || !build(d.dist[:], distBits, lens[nlit:], distMeans[:]) {
		d.err = ErrCorrupt
	}
	return true
}

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
