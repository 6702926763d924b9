package inflate

import "math/bits"

// A table is looked up with the next bits of the input, of which the first is
// the lowest. Codes that are longer than the table's bits lead to a subtable
// behind it. Each entry is a word:
//
//	bits 0 to 7    bits to consume: the code and the extra bits after it
//	bits 8 to 11   bits of the code
//	bits 16 to 30  the literal, or the length or distance without its extra bits
//	bit 31         a literal
//
// or, for an entry that is neither a literal nor a length nor a distance:
//
//	bits 0 to 7    bits to consume
//	bits 8 to 11   for a subtable: how many bits it is looked up with
//	bit 13         the end of the block
//	bit 14         a subtable
//	bit 15         set; without one of the two before, the code means nothing
//	bits 16 to 30  for a subtable: where it begins
const (
	litBits  = 11
	distBits = 8
	preBits  = 7

	// These are powers of two, so that a masked index needs no check. The
	// longest tables have 2,342 and 402 entries (zlib's examples/enough.c, with
	// 286 and 30 symbols), and even a wrong one cannot be larger than its array.
	litTable  = 4096
	distTable = 512

	litMask  = litTable - 1
	distMask = distTable - 1

	literal  = 1 << 31
	special  = 1 << 15
	subtable = 1 << 14
	blockEnd = 1 << 13

	maxLit  = 286
	maxDist = 30
	fixLit  = 288 // symbols of the fixed codes, the last two of which mean nothing
	fixDist = 32
	maxCode = 15
)

// The meaning of a symbol, as an entry without the bits of its code.
var (
	litMeans  [fixLit]uint32
	distMeans [fixDist]uint32
	preMeans  [19]uint32

	fixedLit  [1 << litBits]uint32
	fixedDist [1 << distBits]uint32
)

// preOrder is the order in which a header has the lengths of the first code.
var preOrder = [19]uint8{16, 17, 18, 0, 8, 7, 9, 6, 10, 5, 11, 4, 12, 3, 13, 2, 14, 1, 15}

func init() {
	for i := range uint32(256) {
		litMeans[i] = literal | i<<16
	}
	litMeans[256] = special | blockEnd
	base := uint32(3)
	for i := range uint32(29) {
		extra := uint32(0)
		if i >= 8 && i < 28 {
			extra = i/4 - 1
		}
		if i == 28 {
			base = 258
		}
		litMeans[257+i] = base<<16 | extra
		base += 1 << extra
	}
	base = 1
	for i := range uint32(maxDist) {
		extra := uint32(0)
		if i >= 4 {
			extra = i/2 - 1
		}
		distMeans[i] = base<<16 | extra
		base += 1 << extra
	}
	litMeans[286], litMeans[287] = special, special
	distMeans[30], distMeans[31] = special, special
	for i := range preMeans {
		preMeans[i] = uint32(i) << 16
	}

	var lens [fixLit]uint8
	for i := range lens {
		switch {
		case i < 144:
			lens[i] = 8
		case i < 256:
			lens[i] = 9
		case i < 280:
			lens[i] = 7
		default:
			lens[i] = 8
		}
	}
	build(fixedLit[:], litBits, lens[:], litMeans[:])
	for i := range fixDist {
		lens[i] = 5
	}
	build(fixedDist[:], distBits, lens[:fixDist], distMeans[:])
}

// build fills a table in for a code whose symbols have these lengths. It
// returns false if that is no code. Like the standard library it demands that
// every sequence of bits means something, and makes two exceptions: one symbol
// alone, with a code of one bit, and no symbol at all. A sequence that means
// nothing is an error when it occurs.
func build(table []uint32, tableBits uint, lens []uint8, means []uint32) bool {
	var count, start [maxCode + 1]uint16
	for _, n := range lens {
		count[n&maxCode]++
	}
	used, left := uint16(0), 1<<maxCode
	for n := 1; n <= maxCode; n++ {
		start[n] = used
		used += count[n]
		left -= int(count[n]) << (maxCode - n)
	}
	if used == 0 {
		for i := range table[:1<<tableBits] {
			table[i] = special
		}
		return true
	}
	alone := used == 1 && count[1] == 1
	if left != 0 && !alone {
		return false
	}
	var sorted [fixLit]uint16
	for sym, n := range lens {
		if n > 0 {
			sorted[start[n&maxCode]] = uint16(sym)
			start[n&maxCode]++
		}
	}
	if alone {
		for i := 0; i < 1<<tableBits; i += 2 {
			table[i] = means[sorted[0]] + 1<<8 + 1
			table[i+1] = special | 1
		}
		return true
	}

	// Codes are numbered from the shortest to the longest. code is the next one
	// with its first bit lowest, as it will be met.
	code, n, next := uint(0), uint(1), 0
	for count[n] == 0 {
		n++
	}
	// The table grows with the length of the codes: its entries are repeated for
	// both values of the next bit.
	for size := uint(1) << n; ; {
		for range count[n] {
			table[code] = means[sorted[next]] + uint32(n)<<8 + uint32(n)
			next++
			if code == size-1 {
				for ; n < tableBits; n++ {
					copy(table[size:2*size], table[:size])
					size *= 2
				}
				return true
			}
			code = following(code, size)
		}
		for n++; n <= tableBits; n++ {
			copy(table[size:2*size], table[:size])
			size *= 2
			if count[n] > 0 {
				break
			}
		}
		if n > tableBits {
			break
		}
	}

	end, prefix, begin, mask := uint(1)<<tableBits, ^uint(0), uint(0), uint(1)<<tableBits-1
	for ; ; n++ {
		for range count[n] {
			if code&mask != prefix {
				prefix, begin = code&mask, end
				b := n - tableBits
				for room := int(count[n]); room < 1<<b; {
					b++
					room = room*2 + int(count[tableBits+b])
				}
				end = begin + 1<<b
				table[prefix] = uint32(begin)<<16 | special | subtable | uint32(b)<<8 | uint32(tableBits)
			}
			e := means[sorted[next]] + uint32(n-tableBits)<<8 + uint32(n-tableBits)
			next++
			for i := begin + code>>tableBits; i < end; i += 1 << (n - tableBits) {
				table[i] = e
			}
			if code == 1<<n-1 {
				return true
			}
			code = following(code, 1<<n)
			count[n]--
		}
	}
}

// following returns the code behind code, among those with values below size,
// as a number whose bits are reversed. code is not the last of them.
func following(code, size uint) uint {
	bit := uint(1) << (bits.Len(code^(size-1)) - 1)
	return code&(bit-1) | bit
}
