// Package inflate decompresses the DEFLATE format (RFC 1951) from a stream, at
// two to three times the speed of the standard library, and in less than 128 KiB.
//
// It accepts the same data as compress/flate. In addition, a [Decoder] uses no
// byte of its [Input] beyond the end of the data, delivers everything that the
// bytes so far encode before it reads more, can continue after its source has
// failed, and knows whether it is between two blocks.
//
// The speed comes from a loop without bounds checks (see Decoder.fast), which
// works on arrays whose sizes are powers of two.
package inflate

import (
	"encoding/binary"
	"errors"
	"io"
)

// ErrCorrupt is the error of data that is not in the DEFLATE format. The Input
// has been used up to and including the byte that shows it.
var ErrCorrupt = errors.New("corrupt deflate data")

const (
	window  = 32 << 10 // how far back a distance may reach
	outSize = 2 * window
	outMask = outSize - 1

	longest = 258 // bytes of a match

	// copySpan is how many bytes a match copy may touch: the longest match,
	// rounded up for copies of 16 bytes, as far as copyMask can reach.
	copyMask = 511
	copySpan = copyMask + 1 + 16
)

// Holds is at least the size of a Decoder, which allocates nothing else.
const Holds = 84 << 10

type state uint8

const (
	atHeader state = iota // in front of a block
	inStored
	inCodes
	atEnd // behind the last block
)

// Decoder decompresses DEFLATE data. Call Reset before use. It belongs to one
// goroutine at a time.
type Decoder struct {
	in *Input

	// Between calls, bits has the nbits < 8 low bits that are left of the byte
	// in front of in.r.
	bits  uint64
	nbits uint

	state  state
	final  bool // this is the last block
	stored int  // bytes left of a stored block
	little bool // a large stored block has ended, and another one is likely
	err    error

	// out is a ring of two windows. out[read:write] was not delivered yet. Data
	// written beyond the end of the ring is moved to its beginning when everything
	// has been delivered.
	read, write uint
	lapped      bool // the ring has been full, so any distance is valid

	lit  [litTable]uint32
	dist [distTable]uint32
	out  [outSize + copySpan]byte
	lens [maxLit + maxDist + 1]uint8
}

// Reset begins to decompress the next bytes of in, as if dict, of which the last
// 32 KiB count, had been decompressed before. dict is not kept.
func (d *Decoder) Reset(in *Input, dict []byte) {
	d.in, d.bits, d.nbits, d.state, d.final, d.stored, d.little, d.err, d.lapped = in, 0, 0, atHeader, false, 0, false, nil, false
	n := copy(d.out[:window], dict[max(0, len(dict)-window):])
	d.read, d.write = uint(n), uint(n)
}

// Boundary reports whether all that has been used of the Input ends exactly
// between two blocks, or before the first, and at a byte; decompressed bytes
// may still have to be read. Behind the last block it reports false.
func (d *Decoder) Boundary() bool { return d.state == atHeader && d.nbits == 0 && d.err == nil }

// Ended reports whether the last block has ended; decompressed bytes may still
// have to be read.
func (d *Decoder) Ended() bool { return d.state == atEnd }

// Buffered returns how many bytes are decompressed and were not read yet.
func (d *Decoder) Buffered() int { return int(d.write - d.read) }

// Read reads decompressed bytes. It returns io.EOF behind the last block,
// io.ErrUnexpectedEOF if the Input ends before, and ErrCorrupt, each only when
// all bytes before have been read. Another error of the Input's source is
// returned as it is, and can be followed by more calls of Read after
// [Input.Resume].
//
// Read waits for the Input's source only if nothing was decompressed from the
// bytes before.
func (d *Decoder) Read(p []byte) (int, error) {
	if d.read == d.write && d.state == inStored && min(len(p), d.stored) >= window {
		// Stored bytes go straight to the caller.
		n, err := d.in.Read(p[:min(len(p), d.stored)])
		d.Remember(p[:n])
		return n, d.tookStored(n, err)
	}
	b, err := d.Next(len(p))
	return copy(p, b), err
}

// Remember makes the Decoder continue as if it had decompressed b and all of it
// had been read. That makes sense only between two blocks, or with the bytes of
// a stored one.
func (d *Decoder) Remember(b []byte) {
	for b = b[max(0, len(b)-window):]; len(b) > 0; {
		d.wrap()
		n := copy(d.out[d.write:outSize], b)
		d.write += uint(n)
		b = b[n:]
	}
	d.read = d.write
}

// Next is Read without a copy: it returns up to n bytes of the Decoder's own
// memory, which are valid until the next call.
func (d *Decoder) Next(n int) ([]byte, error) {
	for d.read == d.write && n > 0 {
		if d.err != nil {
			return nil, d.err
		}
		if d.state == atEnd {
			return nil, io.EOF
		}
		d.wrap()
		if d.run(); d.read < d.write || d.err != nil || d.state == atEnd {
			continue
		}
		if err := d.wait(); err != nil {
			return nil, err
		}
	}
	n = min(n, d.Buffered())
	b := d.out[d.read : d.read+uint(n)]
	d.read += uint(n)
	return b, nil
}

// wrap continues at the beginning of the ring when its end is reached.
// Everything has been delivered by then.
func (d *Decoder) wrap() {
	if d.write >= outSize {
		copy(d.out[:copySpan], d.out[outSize:d.write])
		d.write -= outSize
		d.lapped = true
	}
	d.read = d.write
}

// wait gets more input. Nothing waits to be delivered.
func (d *Decoder) wait() error {
	if d.state == inStored && d.in.r == d.in.w {
		// Large reads go straight to where they belong.
		n, err := d.in.Read(d.out[d.write:min(d.write+uint(d.stored), d.limit())])
		d.write += uint(n)
		return d.tookStored(n, err)
	}
	if d.little && d.state == atHeader {
		// Bytes that were read with the header of a stored block are copied twice.
		return d.ended(d.in.fillTo(1 << 10))
	}
	return d.ended(d.in.fill())
}

// tookStored notes that n bytes of a stored block were read, with err.
func (d *Decoder) tookStored(n int, err error) error {
	if d.stored -= n; d.stored == 0 {
		d.endBlock()
	}
	return d.ended(err)
}

// ended makes of the Input's end an error of the data. All of it was used then.
func (d *Decoder) ended(err error) error {
	if err == io.EOF {
		d.in.r = d.in.w
		d.err = io.ErrUnexpectedEOF
		return d.err
	}
	return err
}

// limit is up to where the ring may be written before it is read: all but the
// last window of the earlier output.
func (d *Decoder) limit() uint { return min(d.read+window, outSize) }

// run decompresses until there is enough, or until it needs more input.
func (d *Decoder) run() {
	limit := d.limit()
	for more := true; more && d.write < limit && d.err == nil && d.state != atEnd; {
		switch d.state {
		case atHeader:
			more = d.header()
		case inStored:
			n := copy(d.out[d.write:min(d.write+uint(d.stored), limit)], d.in.buf[d.in.r:d.in.w])
			d.in.r += n
			d.write += uint(n)
			d.stored -= n
			if d.stored == 0 {
				d.endBlock()
			} else {
				more = d.in.r < d.in.w
			}
		case inCodes:
			d.fast(limit)
			more = d.careful(limit)
		}
	}
}

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

func (d *Decoder) endBlock() {
	d.little = d.little && d.state == inStored
	d.state = atHeader
	if d.final {
		// The remaining bits of the last byte have no meaning.
		d.state, d.bits, d.nbits = atEnd, 0, 0
	}
}

func load64(b *[inSize + inSlop]byte, i uint) uint64 {
	i &= inMask
	return binary.LittleEndian.Uint64(b[i : i+8])
}

// fast decodes symbols while both the input and the room for the output are so
// large that no symbol can reach their ends.
//
// It is as fast as it is because the compiler proves that no index is out of
// bounds: each is masked to the size of its array, and each slice has a constant
// length that fits behind it. TestDecoder_HotLoopHasNoBoundsChecks watches over that.
func (d *Decoder) fast(limit uint) {
	// A symbol is loaded with at most three loads, of 8 bytes each.
	const margin = 3 * 8
	in := d.in
	if in.w-in.r < margin {
		return
	}
	// Two literals may be written, each at a masked index, before a match that
	// may go beyond the end of the ring.
	limit = min(limit, outSize-4)

	buf := &in.buf
	p, end := uint(in.r), uint(in.w-margin)
	bits, nbits := d.bits, uint64(d.nbits)
	w := d.write
	base := uint(0)
	if d.lapped {
		base = outSize
	}
	var e uint32
	var saved uint64
	ended := false

	if w >= limit {
		return
	}
	// A load fills bits up to at least 56. Only the low byte of nbits counts.
	bits |= load64(buf, p) << (nbits & 63)
	p += uint(7 - nbits>>3&7)
	nbits |= 56
	e = d.lit[bits&(1<<litBits-1)]
	for {
		// e is the entry for the next symbol, and not consumed.
		saved = bits
		bits >>= e & 63
		nbits -= uint64(e)
		if e >= literal {
			d.out[w&outMask] = byte(e >> 16)
			w++
			e = d.lit[bits&(1<<litBits-1)]
			saved = bits
			bits >>= e & 63
			nbits -= uint64(e)
			if e >= literal {
				d.out[w&outMask] = byte(e >> 16)
				w++
				e = d.lit[bits&(1<<litBits-1)]
				saved = bits
				bits >>= e & 63
				nbits -= uint64(e)
				if e >= literal {
					d.out[w&outMask] = byte(e >> 16)
					w++
					goto refill
				}
			}
		}
		if e&special != 0 {
			if e&subtable != 0 {
				e = d.lit[(uint64(e>>16)+bits&(1<<(e>>8&15)-1))&litMask]
				saved = bits
				bits >>= e & 63
				nbits -= uint64(e)
				if e >= literal {
					d.out[w&outMask] = byte(e >> 16)
					w++
					goto refill
				}
			}
			if e&special != 0 {
				if ended = e&blockEnd != 0; !ended {
					d.err = ErrCorrupt
				}
				break
			}
		}
		{
			// A length: at most 42 bits were used so far.
			length := uint(e>>16) + uint((saved&(1<<(e&63)-1))>>(e>>8&63))
			if nbits&63 < maxCode+13 {
				bits |= load64(buf, p) << (nbits & 63)
				p += uint(7 - nbits>>3&7)
				nbits |= 56
			}
			e = d.dist[bits&(1<<distBits-1)]
			if e&special != 0 {
				if e&subtable == 0 {
					bits >>= e & 63
					nbits -= uint64(e)
					d.err = ErrCorrupt
					break
				}
				bits >>= distBits
				nbits -= distBits
				e = d.dist[(uint64(e>>16)+bits&(1<<(e>>8&15)-1))&distMask]
				if e&special != 0 {
					bits >>= e & 63
					nbits -= uint64(e)
					d.err = ErrCorrupt
					break
				}
			}
			dist := uint(e>>16) + uint((bits&(1<<(e&63)-1))>>(e>>8&63))
			bits >>= e & 63
			nbits -= uint64(e)
			if dist > w+base {
				d.err = ErrCorrupt
				break
			}
			// Look the next symbol up while the match is copied.
			bits |= load64(buf, p) << (nbits & 63)
			p += uint(7 - nbits>>3&7)
			nbits |= 56
			e = d.lit[bits&(1<<litBits-1)]

			from := (w - dist) & outMask
			if from > outSize-longest && from > w {
				// It may reach over the end of the ring.
				d.copyAround(w, dist, length)
				w += length
			} else {
				s := d.out[from : from+copySpan]
				t := d.out[w&outMask : w&outMask+copySpan]
				w += length
				switch {
				case dist >= 16:
					*(*[16]byte)(t) = *(*[16]byte)(s)
					for i := uint(16); i < length; i += 16 {
						j := i & copyMask
						*(*[16]byte)(t[j : j+16]) = *(*[16]byte)(s[j : j+16])
					}
				case dist >= 8:
					for i := uint(0); i < length; i += 8 {
						j := i & copyMask
						*(*[8]byte)(t[j : j+8]) = *(*[8]byte)(s[j : j+8])
					}
				default:
					// Repeat the pattern within a word as often as it fits.
					v := binary.LittleEndian.Uint64(s)
					step := uint(8)
					switch dist {
					case 1:
						v = v & 0xff * 0x0101010101010101
					case 2:
						v = v & 0xffff * 0x0001000100010001
					case 4:
						v = v & 0xffffffff * 0x0000000100000001
					case 3:
						v &= 1<<24 - 1
						v |= v<<24 | v<<48
						step = 6
					default:
						v &= 1<<(dist*8&63) - 1
						v |= v << (dist * 8 & 63)
						step = dist
					}
					for i := uint(0); i < length; i += step {
						j := i & copyMask
						binary.LittleEndian.PutUint64(t[j:j+8], v)
					}
				}
			}
			if p < end && w < limit {
				continue
			}
			break
		}
	refill:
		bits |= load64(buf, p) << (nbits & 63)
		p += uint(7 - nbits>>3&7)
		nbits |= 56
		e = d.lit[bits&(1<<litBits-1)]
		if p >= end || w >= limit {
			break
		}
	}
	d.write = w
	d.leave(p, bits, uint(nbits&63))
	if ended {
		d.endBlock()
	}
}

// leave gives the bytes back that were loaded and not used.
func (d *Decoder) leave(p uint, bits uint64, nbits uint) {
	d.in.r = int(p - nbits/8)
	d.nbits = nbits % 8
	d.bits = bits & (1<<d.nbits - 1)
}

// copyAround copies a match byte by byte. Its source may begin before the end of
// the ring and continue at its beginning.
//
//go:noinline
func (d *Decoder) copyAround(w, dist, length uint) {
	for i := range length {
		d.out[w+i] = d.out[(w+i-dist)&outMask]
	}
}

// careful decodes symbols one by one, each only if all its bits are there. It
// returns false if it needs more input for the next one.
func (d *Decoder) careful(limit uint) bool {
	in := d.in
	p, end := uint(in.r), uint(in.w)
	bits, nbits := d.bits, d.nbits
	for d.state == inCodes && d.err == nil && d.write < limit {
		for nbits < 56 && p < end {
			bits |= uint64(in.buf[p]) << nbits
			nbits += 8
			p++
		}
		e, n := lookup(d.lit[:], litBits, bits)
		if n > nbits {
			d.leave(p, bits, nbits)
			return false
		}
		switch {
		case e >= literal:
			d.out[d.write] = byte(e >> 16)
			d.write++
		case e&blockEnd != 0:
			d.endBlock()
		case e&special != 0:
			d.err = ErrCorrupt
		default:
			length := value(e, bits, n)
			f, m := lookup(d.dist[:], distBits, bits>>n)
			if n+m > nbits {
				d.leave(p, bits, nbits)
				return false
			}
			dist := value(f, bits>>n, m)
			n += m
			if f&special != 0 || dist > d.write && !d.lapped {
				d.err = ErrCorrupt
				break
			}
			if dist > d.write {
				d.copyAround(d.write, dist, length)
			} else {
				for i := d.write; i < d.write+length; i++ {
					d.out[i] = d.out[i-dist]
				}
			}
			d.write += length
		}
		bits >>= n
		nbits -= n
	}
	if d.state != atEnd {
		d.leave(p, bits, nbits)
	} else {
		d.leave(p, 0, nbits)
		d.nbits = 0
	}
	return true
}

// lookup returns the entry for the first code in b, and how many bits it has
// together with its extra bits.
func lookup(table []uint32, tableBits uint, b uint64) (e uint32, n uint) {
	e = table[b&(1<<tableBits-1)]
	if e&(special|subtable) != special|subtable || e >= literal {
		return e, uint(e & 0xff)
	}
	e = table[uint64(e>>16)+b>>tableBits&(1<<(e>>8&15)-1)]
	return e, tableBits + uint(e&0xff)
}

// value returns the length or distance that e encodes, whose n bits are the
// first in b.
func value(e uint32, b uint64, n uint) uint {
	extra := uint(e&0xff) - uint(e>>8&15)
	return uint(e>>16) + uint(b>>(n-extra)&(1<<extra-1))
}
