// Package deflate compresses to the deflate format (RFC 1951), one piece of up
// to [MaxInput] bytes at a time. Pieces do not refer to each other, so they can
// be compressed, and decompressed, at the same time.
//
// The design follows libdeflate: hash chains with lazy matching, blocks that
// end where the statistics of the data change, and Huffman codes of limited
// length. It needs a third to a half of zlib's time for the same size.
package deflate

import (
	"encoding/binary"
	"io"
	"math/bits"
	"unsafe"
)

const (
	// MaxInput is the largest piece.
	MaxInput = 1 << 20

	// Slack is the room behind a piece that lets 8 bytes be read at its last.
	Slack = 8

	// Overhead is the most bytes by which a piece can grow: for each stored block,
	// for two empty blocks, and for the bytes written past the end.
	Overhead = 6*(MaxInput/minBlock+2) + 2*6 + 8

	minMatch = 3
	maxMatch = 258
	window   = 32 << 10 // matches are nearer than this

	hash3Bits = 13 // matches of 3 bytes pay only nearby
	hashBits  = 15

	minBlock  = 5_000   // bytes of input in a deflate block that is not the last
	softBlock = 200_000 // bytes of input after which a block ends
	fastBlock = 65_535  // the same at the fastest level, which does not look for good ends
	maxSeqs   = 1 << 14 // matches in a block
)

// Input is a piece to compress. A constant size spares the encoder all bounds
// checks.
type Input [MaxInput + Slack]byte

// Encoder compresses pieces. It keeps no data between them.
type Encoder struct {
	params
	*chains // of levels that follow chains
	*pairs  // of the others

	// base is added to positions in the piece, and grows from piece to piece
	// so that the entries of earlier ones in the tables are out of reach.
	base uint32

	seqs  [maxSeqs]sequence
	nseqs int
	split splitter

	lit  code
	dist code
	pre  precode
	full [maxMatch + 1]uint32 // codes of all lengths with their extra bits, and bits<<24

	to    io.Writer // gets each block, if not nil
	err   error     // of to
	out   []byte
	acc   uint64
	nbits uint
}

// chains finds all positions in the window by the bytes there.
type chains struct {
	last3 [1 << hash3Bits]uint32 // last position of 3 bytes
	last4 [1 << hashBits]uint32  // last position of 4 bytes
	last7 [1 << hashBits]uint32  // last position of 7 bytes, with which long matches are found soon
	prev  [window]uint16         // distance to the position before with the same hash of 4 bytes
}

// pairs finds the latest positions by the bytes there.
type pairs struct {
	last4 [1 << hashBits]uint32    // last position of 4 bytes
	last7 [1 << hashBits][2]uint32 // last two positions of 7 bytes; at the fastest levels of 4 bytes
}

// sequence is a number of literals and the match that follows them.
type sequence struct {
	lits   uint32
	length uint16
	dist   uint16
}

// params are the parameters of a level.
type params struct {
	parse func(e *Encoder, in *Input, n int, last bool)
	depth int  // positions that are looked at
	nice  int  // a match of this length is good enough
	more  bool // look for more: see the parsers
}

// levels are ordered: on logs, sources, JSON and machine code none gives a larger
// file than the one before.
var levels = [...]params{
	0: {parse: (*Encoder).store},
	1: {parse: (*Encoder).fastest},
	2: {parse: (*Encoder).fast, nice: 32},
	3: {parse: (*Encoder).double, nice: 4},
	4: {parse: (*Encoder).double, nice: 30, more: true},
	5: {parse: (*Encoder).lazy, depth: 8, nice: 32},
	6: {parse: (*Encoder).lazy, depth: 20, nice: 40},
	7: {parse: (*Encoder).lazy, depth: 48, nice: 96},
	8: {parse: (*Encoder).lazy, depth: 100, nice: 130, more: true},
	9: {parse: (*Encoder).lazy, depth: 600, nice: maxMatch, more: true},
}

// MaxLevel is the highest level. Level 0 only stores.
const MaxLevel = len(levels) - 1

// NewEncoder returns an encoder. It panics if there is no such level.
func NewEncoder(level int) *Encoder {
	e := &Encoder{params: levels[level], base: window}
	switch {
	case e.depth > 0:
		e.chains = new(chains)
	case level > 0:
		e.pairs = new(pairs)
	}
	return e
}

// Size returns how many bytes an encoder of the level holds.
func Size(level int) int64 {
	n := unsafe.Sizeof(Encoder{})
	switch {
	case levels[level].depth > 0:
		n += unsafe.Sizeof(chains{})
	case level > 0:
		n += unsafe.Sizeof(pairs{})
	}
	return int64(n)
}

// Append compresses the first n bytes of in, appends the result to dst, and
// returns that. If last is true the deflate data ends with it. Otherwise it ends
// with two empty stored blocks, at a byte boundary, so that another piece can
// follow. The same input gives the same output. The bytes of in behind the
// first n may change.
func (e *Encoder) Append(dst []byte, in *Input, n int, last bool) []byte {
	e.out, e.to = dst, nil
	e.encode(in, n, last)
	dst, e.out = e.out, nil
	return dst
}

// WriteTo is like Append, but writes the result to w piece by piece. buf is the
// memory to use, of any length; WriteTo returns it. With a capacity of
// [BlockOutput] it never grows.
func (e *Encoder) WriteTo(w io.Writer, buf []byte, in *Input, n int, last bool) ([]byte, error) {
	e.out, e.to, e.err = buf[:0], w, nil
	e.encode(in, n, last)
	e.emit()
	buf, e.out, e.to = e.out, nil, nil
	return buf, e.err
}

// BlockOutput is the most that is written at a time.
const BlockOutput = softBlock + minBlock + maxMatch + 2*64

func (e *Encoder) encode(in *Input, n int, last bool) {
	if e.base > 1<<31 {
		if e.chains != nil {
			*e.chains = chains{}
		}
		if e.pairs != nil {
			*e.pairs = pairs{}
		}
		e.base = window
	}
	clear(in[n : n+Slack]) // the bytes behind the input must not change the output
	e.acc, e.nbits = 0, 0
	switch {
	case n > 0:
		e.parse(e, in, n, last)
	case last:
		e.room(2)
		e.add(1|1<<1, 3+7) // fixed codes, of which the one for the end is all zeros
		e.flush()
	}
	if !last {
		e.stored(nil, false)
		e.stored(nil, false)
	}
	if e.nbits > 0 {
		e.out = append(e.out, byte(e.acc))
	}
	e.base += uint32(n) + window
}

// emit passes on the finished bytes.
func (e *Encoder) emit() {
	if e.to == nil {
		return
	}
	if e.err == nil {
		_, e.err = e.to.Write(e.out)
	}
	e.out = e.out[:0]
}

// load32 and load64 read at a position in the piece.
func load32(in *Input, i int) uint32 {
	p := i & (MaxInput - 1)
	return binary.LittleEndian.Uint32(in[p : p+4])
}

func load64(in *Input, i int) uint64 {
	p := i & (MaxInput - 1)
	return binary.LittleEndian.Uint64(in[p : p+8])
}

func hash3(v uint32) uint32 { return (v << 8) * 0x1e35a7bd >> (32 - hash3Bits) }
func hash4(v uint32) uint32 { return v * 0x9e3779b1 >> (32 - hashBits) }

func hash5(v uint64) uint32 { return uint32((v << 24) * 0xcf1bbcdcbb >> (64 - hashBits)) }
func hash7(v uint64) uint32 { return uint32((v << 8) * 0xcf1bbcdcbfa563 >> (64 - hashBits)) }

// extend returns how long a match of at least length bytes is, at most most.
func extend(in *Input, i, j, length, most int) int {
	for length < most {
		if diff := load64(in, i+length) ^ load64(in, j+length); diff != 0 {
			return min(length+bits.TrailingZeros64(diff)>>3, most)
		}
		length += 8
	}
	return most
}

// insert enters positions i to i+n-1 in the tables.
func (e *Encoder) insert(in *Input, i, n int) {
	t := e.chains
	for ; n > 0; n, i = n-1, i+1 {
		v := load64(in, i)
		cur := e.base + uint32(i)
		t.last3[hash3(uint32(v))] = cur
		h := hash4(uint32(v))
		t.prev[cur%window] = uint16(min(cur-t.last4[h], 1<<16-1))
		t.last4[h] = cur
		t.last7[hash7(v)] = cur
	}
}

// longest enters position i in the tables and looks for a match that is longer
// than best and at most most bytes long. It returns best if there is none.
func (e *Encoder) longest(in *Input, i, best, most, nice, depth int) (length, dist int) {
	if most < 8 {
		return best, 0
	}
	t := e.chains
	v8 := load64(in, i)
	v := uint32(v8)
	h3, h4, h7 := hash3(v), hash4(v), hash7(v8)
	cur := e.base + uint32(i)
	d3 := cur - t.last3[h3]
	d := cur - t.last4[h4] // distance of the candidate
	d7 := cur - t.last7[h7]
	t.last3[h3] = cur
	t.last4[h4] = cur
	t.last7[h7] = cur
	t.prev[cur%window] = uint16(min(d, 1<<16-1))

	if best >= nice {
		return best, 0
	}
	if d7 < window && d7 != d && load32(in, i-int(d7)) == v {
		if n := extend(in, i, i-int(d7), 4, most); n > best {
			best, dist = n, int(d7)
			if best >= nice {
				return best, dist
			}
		}
	}
	if best < 4 {
		if d3 < window && best < 3 && (load32(in, i-int(d3))^v)<<8 == 0 {
			best, dist = 3, int(d3)
		}
		for {
			if d >= window {
				return best, dist
			}
			if load32(in, i-int(d)) == v {
				break
			}
			if depth--; depth <= 0 {
				return best, dist
			}
			d += uint32(t.prev[(cur-d)%window])
		}
		best, dist = extend(in, i, i-int(d), 4, most), int(d)
		if best >= nice {
			return best, dist
		}
		if depth--; depth <= 0 {
			return best, dist
		}
		d += uint32(t.prev[(cur-d)%window])
	}

	// Most candidates lack the last four bytes of a longer match.
	end := load32(in, i+best-3)
	for d < window {
		j := i - int(d)
		if load32(in, j+best-3) == end && load32(in, j) == v {
			if n := extend(in, i, j, 4, most); n > best {
				best, dist = n, int(d)
				if best >= nice {
					break
				}
				end = load32(in, i+best-3)
			}
		}
		if depth--; depth <= 0 {
			break
		}
		d += uint32(t.prev[(cur-d)%window])
	}
	return best, dist
}
