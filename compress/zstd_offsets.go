package compress

import (
	"encoding/binary"
	"errors"
	"math/bits"
)

// errZeroOffset reports an offset that the reference decoder calls corruption
// and the library reads as 1.
var errZeroOffset = errors.New("a match with an offset of 0")

// zstdOffsets follows the offsets of the sequences of a frame (RFC 8878, section
// 3.1.1.3.2) and finds one that is 0. Other damage is left to the decoder: where
// zstdOffsets cannot read a block, it looks no further in that frame.
type zstdOffsets struct {
	block  []byte // the compressed block that is being read
	repeat [3]uint64
	tables [3]fseTable // literal lengths, offsets, match lengths
	known  [3]bool     // that a table can be used again
	lost   bool        // it cannot follow this frame
}

const (
	litLengths = iota
	offsetCodes
	matchLengths
)

// sequenceCodes has the limits of each of a block's tables, in their order.
var sequenceCodes = [3]struct {
	maxLog, predefinedLog uint8
	most                  int // the largest code
	predefined            []int16
	extra                 []uint8 // bits behind a code; an offset code has as many as it says
}{
	litLengths: {9, 6, 35,
		[]int16{4, 3, 2, 2, 2, 2, 2, 2, 2, 2, 2, 2, 2, 1, 1, 1, 2, 2, 2, 2, 2, 2, 2, 2, 2, 3, 2, 1, 1, 1, 1, 1, -1, -1, -1, -1},
		[]uint8{16: 1, 17: 1, 18: 1, 19: 1, 20: 2, 21: 2, 22: 3, 23: 3, 24: 4, 25: 6, 26: 7, 27: 8, 28: 9, 29: 10, 30: 11, 31: 12, 32: 13, 33: 14, 34: 15, 35: 16}},
	offsetCodes: {8, 5, 31,
		[]int16{1, 1, 1, 1, 1, 1, 2, 2, 2, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, -1, -1, -1, -1, -1},
		nil},
	matchLengths: {9, 6, 52,
		[]int16{1, 4, 3, 2, 2, 2, 2, 2, 2, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, -1, -1, -1, -1, -1, -1, -1},
		[]uint8{32: 1, 33: 1, 34: 1, 35: 1, 36: 2, 37: 2, 38: 3, 39: 3, 40: 4, 41: 4, 42: 5, 43: 7, 44: 8, 45: 9, 46: 10, 47: 11, 48: 12, 49: 13, 50: 14, 51: 15, 52: 16}},
}

// begin begins a frame.
func (z *zstdOffsets) begin() {
	z.block = z.block[:0]
	z.repeat = [3]uint64{1, 4, 8}
	z.known = [3]bool{}
	z.lost = false
}

// add collects a part of a compressed block; end is called behind the last one.
func (z *zstdOffsets) add(p []byte) {
	if !z.lost {
		z.block = append(z.block, p...)
	}
}

// end returns errZeroOffset if the block that was added has such a match.
func (z *zstdOffsets) end() error {
	if z.lost {
		return nil
	}
	zero, ok := z.sequences(z.block)
	z.block = z.block[:0]
	z.lost = !ok
	if zero {
		return errZeroOffset
	}
	return nil
}

// sequences reports whether a match of the block has an offset of 0, and whether
// the block could be read.
func (z *zstdOffsets) sequences(p []byte) (zero, ok bool) {
	p, ok = skipLiterals(p)
	if !ok || len(p) == 0 {
		return false, false
	}
	n := int(p[0])
	switch {
	case n == 0:
		return false, len(p) == 1
	case n < 128:
		p = p[1:]
	case n < 255 && len(p) > 1:
		n, p = (n-128)<<8+int(p[1]), p[2:]
	case n == 255 && len(p) > 2:
		n, p = int(p[1])+int(p[2])<<8+0x7f00, p[3:]
	default:
		return false, false
	}
	if len(p) == 0 {
		return false, false
	}
	modes := p[0]
	p = p[1:]
	for i := range z.tables {
		if p, ok = z.table(i, modes>>(6-2*i)&3, p); !ok {
			return false, false
		}
	}
	in, ok := newBackwards(p)
	if !ok {
		return false, false
	}
	lits, offsets, matches := &z.tables[litLengths], &z.tables[offsetCodes], &z.tables[matchLengths]
	l, o, m := in.read(lits.log), in.read(offsets.log), in.read(matches.log)
	for ; n > 0; n-- {
		lit, off, match := lits.entries[l], offsets.entries[o], matches.entries[m]
		value := uint64(1)<<off.code + in.read(off.code)
		in.skip(sequenceCodes[matchLengths].extra[match.code])
		in.skip(sequenceCodes[litLengths].extra[lit.code])
		if z.use(value, lit.code == 0) == 0 {
			return true, true
		}
		if n > 1 {
			l = uint64(lit.base) + in.read(lit.bits)
			m = uint64(match.base) + in.read(match.bits)
			o = uint64(off.base) + in.read(off.bits)
		}
		if in.left < 0 {
			return false, false
		}
	}
	return false, true
}

// use returns the offset that a value encodes. The values 1 to 3 repeat former
// offsets; without literals they count one further.
func (z *zstdOffsets) use(value uint64, noLiterals bool) uint64 {
	r := &z.repeat
	if value > 3 {
		*r = [3]uint64{value - 3, r[0], r[1]}
		return r[0]
	}
	if noLiterals {
		value++
	}
	switch value {
	case 2:
		*r = [3]uint64{r[1], r[0], r[2]}
	case 3:
		*r = [3]uint64{r[2], r[0], r[1]}
	case 4:
		*r = [3]uint64{r[0] - 1, r[0], r[1]}
	}
	return r[0]
}

// table prepares one of the tables of a block and returns the bytes after it.
func (z *zstdOffsets) table(i int, mode byte, p []byte) (rest []byte, ok bool) {
	c, t := &sequenceCodes[i], &z.tables[i]
	switch mode {
	case 0: // predefined
		t.build(c.predefinedLog, c.predefined)
	case 1: // one code
		if len(p) == 0 || int(p[0]) > c.most {
			return nil, false
		}
		t.log, t.entries[0] = 0, fseEntry{code: p[0]}
		p = p[1:]
	case 2:
		if p, ok = t.read(p, c.maxLog, c.most); !ok {
			return nil, false
		}
	case 3: // as before
		return p, z.known[i]
	}
	z.known[i] = true
	return p, true
}

// skipLiterals returns the bytes after the literals section of a block.
func skipLiterals(p []byte) ([]byte, bool) {
	if len(p) == 0 {
		return nil, false
	}
	var head [8]byte
	copy(head[:], p)
	h := binary.LittleEndian.Uint64(head[:])
	form := h >> 2 & 3
	var header, size uint64
	if h&3 < 2 { // raw, or one byte repeated
		switch form {
		case 1:
			header, size = 2, h>>4&0xfff
		case 3:
			header, size = 3, h>>4&0xfffff
		default:
			header, size = 1, h>>3&0x1f
		}
		if h&3 == 1 {
			size = 1
		}
	} else {
		switch form {
		case 2:
			header, size = 4, h>>18&0x3fff
		case 3:
			header, size = 5, h>>22&0x3ffff
		default:
			header, size = 3, h>>14&0x3ff
		}
	}
	if header+size > uint64(len(p)) {
		return nil, false
	}
	return p[header+size:], true
}

// fseTable decodes codes of a finite state entropy (RFC 8878, section 4.1).
type fseTable struct {
	log     uint8
	entries [1 << 9]fseEntry
}

type fseEntry struct {
	base uint16 // of the next state, to which
	bits uint8  // so many bits are added
	code uint8
}

// read reads the description of a table and returns the bytes after it.
func (t *fseTable) read(p []byte, maxLog uint8, most int) (rest []byte, ok bool) {
	pos := 0
	read := func(n int) int {
		v := 0
		for i := range n {
			if at := pos + i; at>>3 < len(p) {
				v |= int(p[at>>3]>>(at&7)&1) << i
			}
		}
		pos += n
		return v
	}
	log := uint8(read(4) + 5)
	if log > maxLog {
		return nil, false
	}
	var counts [64]int16
	n := 0
	for left := 1 << log; left > 0; {
		if n > most || pos > 8*len(p) {
			return nil, false
		}
		size := bits.Len(uint(left + 1))
		v := read(size)
		mask := 1<<(size-1) - 1
		if short := 1<<size - 1 - (left + 1); v&mask < short { // it had one bit less
			v &= mask
			pos--
		} else if v > mask {
			v -= short
		}
		count := v - 1
		left -= max(count, -count)
		if left < 0 {
			return nil, false
		}
		counts[n] = int16(count)
		n++
		for more := 3; count == 0 && more == 3; {
			more = read(2)
			if n += more; n > most+1 || pos > 8*len(p) {
				return nil, false
			}
		}
	}
	used := (pos + 7) / 8
	if used > len(p) {
		return nil, false
	}
	t.build(log, counts[:n])
	return p[used:], true
}

// build makes the table of a distribution, whose counts add up to 1<<log. A count
// of -1 is a probability of less than one.
func (t *fseTable) build(log uint8, counts []int16) {
	t.log = log
	size := 1 << log
	var next [64]uint16
	high := size
	for code, n := range counts {
		next[code] = uint16(max(n, 1))
		if n == -1 {
			high--
			t.entries[high].code = uint8(code)
		}
	}
	pos, step := 0, size>>1+size>>3+3
	for code, n := range counts {
		for range max(n, 0) {
			t.entries[pos].code = uint8(code)
			for pos = (pos + step) & (size - 1); pos >= high; {
				pos = (pos + step) & (size - 1)
			}
		}
	}
	for i := range size {
		e := &t.entries[i]
		state := next[e.code]
		next[e.code]++
		e.bits = log - uint8(bits.Len16(state)-1)
		e.base = state<<e.bits - uint16(size)
	}
}

// backwards reads bits from the end of p to its beginning.
type backwards struct {
	p    []byte
	left int // bits; negative: more were read than there are
}

// newBackwards begins below the highest bit of the last byte, which ends the
// padding.
func newBackwards(p []byte) (backwards, bool) {
	if len(p) == 0 || p[len(p)-1] == 0 {
		return backwards{}, false
	}
	return backwards{p, 8*len(p) - 9 + bits.Len8(p[len(p)-1])}, true
}

func (b *backwards) skip(n uint8) { b.left -= int(n) }

// read returns n bits, at most 32.
func (b *backwards) read(n uint8) uint64 {
	b.left -= int(n)
	if b.left < 0 {
		return 0
	}
	at := b.left >> 3
	var word uint64
	if at+8 <= len(b.p) {
		word = binary.LittleEndian.Uint64(b.p[at:])
	} else {
		for i, c := range b.p[at:] {
			word |= uint64(c) << (8 * i)
		}
	}
	return word >> (b.left & 7) & (1<<n - 1)
}
