package deflate

import (
	"encoding/binary"
	"math/bits"
	"slices"
)

// add adds n bits. At most 63 may wait for a flush.
func (e *Encoder) add(v uint64, n uint) {
	e.acc |= v << (e.nbits & 63)
	e.nbits += n
}

// flush writes all whole bytes. There must be room.
func (e *Encoder) flush() {
	e.out = binary.LittleEndian.AppendUint64(e.out, e.acc)
	n := e.nbits >> 3
	e.out = e.out[:len(e.out)-8+int(n)]
	e.acc >>= n << 3
	e.nbits &= 7
}

// room makes room for n bytes, and for the bytes that flush writes too much.
func (e *Encoder) room(n int) { e.out = slices.Grow(e.out, n+8) }

// stored writes blocks that are not compressed, at least one.
func (e *Encoder) stored(p []byte, last bool) {
	const most = 1<<16 - 1
	e.room(len(p) + 6*(len(p)/most+1))
	for {
		n := min(len(p), most)
		var final uint64
		if last && n == len(p) {
			final = 1
		}
		e.add(final, 3)
		e.nbits = (e.nbits + 7) &^ 7
		e.flush()
		e.out = append(e.out, byte(n), byte(n>>8), ^byte(n), ^byte(n>>8))
		e.out = append(e.out, p[:n]...)
		if p = p[n:]; len(p) == 0 {
			return
		}
	}
}

// block writes the parsed sequences of in[start:end], in the smallest way.
func (e *Encoder) block(in *Input, start, end int, last bool) {
	e.lit.freq[endOfBlock]++
	e.lit.build(mostLitBits)
	e.dist.build(mostDistBits)
	e.pre.build(&e.lit, &e.dist)

	dynamic := 3 + e.pre.cost + e.lit.cost(&e.lit.size) + e.dist.cost(&e.dist.size)
	fixed := 3 + e.lit.cost(&fixedLit.size) + e.dist.cost(&fixedDist.size)
	extra := 0
	for i, f := range e.lit.freq[firstLength:][:len(lengthExtra)] {
		extra += int(f) * int(lengthExtra[i])
	}
	for i, f := range e.dist.freq[:len(distExtra)] {
		extra += int(f) * int(distExtra[i])
	}
	plain := 8*(end-start) + 40*((end-start)/(1<<16-1)+1)
	if best := min(dynamic, fixed) + extra; best >= plain {
		e.stored(in[start:end], last)
		e.emit()
		return
	} else {
		e.room(best/8 + 1)
	}

	var final uint64
	if last {
		final = 1
	}
	lit, dist := &e.lit, &e.dist
	if fixed <= dynamic {
		lit, dist = &fixedLit, &fixedDist
		e.add(final|1<<1, 3)
	} else {
		e.add(final|2<<1, 3)
		e.pre.write(e)
	}
	e.sequences(in, start, end, lit, dist)
	e.emit()
}

// sequences writes literals and matches and the end of the block.
func (e *Encoder) sequences(in *Input, i, end int, lit, dist *code) {
	for length := minMatch; length <= maxMatch; length++ {
		slot := lengthSlot[uint8(length-minMatch)]
		c := lit.codes[(firstLength+int(slot))&511]
		n := c >> 16
		e.full[length] = c&0xffff | uint32(length-int(lengthBase[slot]))<<n | (n+uint32(lengthExtra[slot]))<<24
	}
	out := e.out[:cap(e.out)]
	at := len(e.out)
	acc, nbits := e.acc, e.nbits
	for k := 0; ; k++ {
		s := e.seqs[k]
		lits := int(s.lits)
		// At most 14 bits each: four of them fit beside 7.
		for ; lits >= 4; lits -= 4 {
			v := load32(in, i)
			i += 4
			c := lit.codes[v&255]
			acc |= uint64(c&0xffff) << (nbits & 63)
			nbits += uint(c >> 16)
			c = lit.codes[v>>8&255]
			acc |= uint64(c&0xffff) << (nbits & 63)
			nbits += uint(c >> 16)
			c = lit.codes[v>>16&255]
			acc |= uint64(c&0xffff) << (nbits & 63)
			nbits += uint(c >> 16)
			c = lit.codes[v>>24]
			acc |= uint64(c&0xffff) << (nbits & 63)
			nbits += uint(c >> 16)
			binary.LittleEndian.PutUint64(out[at:], acc)
			at += int(nbits >> 3)
			acc >>= nbits &^ 7 & 63
			nbits &= 7
		}
		for ; lits > 0; lits-- {
			c := lit.codes[in[i&(MaxInput-1)]]
			i++
			acc |= uint64(c&0xffff) << (nbits & 63)
			nbits += uint(c >> 16)
		}
		binary.LittleEndian.PutUint64(out[at:], acc)
		at += int(nbits >> 3)
		acc >>= nbits &^ 7 & 63
		nbits &= 7
		if k == e.nseqs {
			break
		}
		c := e.full[s.length]
		acc |= uint64(c&(1<<24-1)) << (nbits & 63)
		nbits += uint(c >> 24)
		slot := distSlot(int(s.dist))
		c = dist.codes[slot]
		acc |= uint64(c&0xffff) << (nbits & 63)
		nbits += uint(c >> 16)
		acc |= uint64(s.dist-distBase[slot]) << (nbits & 63)
		nbits += uint(distExtra[slot])
		binary.LittleEndian.PutUint64(out[at:], acc)
		at += int(nbits >> 3)
		acc >>= nbits &^ 7 & 63
		nbits &= 7
		i += int(s.length)
	}
	e.out, e.acc, e.nbits = out[:at], acc, nbits
	c := lit.codes[endOfBlock]
	e.add(uint64(c&0xffff), uint(c>>16))
	e.flush()
}

const (
	endOfBlock  = 256
	firstLength = 257

	mostLitBits  = 14 // so that four literals fit into the accumulator
	mostDistBits = 15
	mostPreBits  = 7
)

// code is a Huffman code, of up to 288 symbols.
type code struct {
	freq  [288]uint32
	size  [288]uint8  // bits
	codes [512]uint32 // the code, first bit lowest, and bits<<16; larger than needed for masks
	keys  [288]uint32 // of build
	next  [16]uint32  // of build
}

// cost returns how many bits all symbols have in the code of the given sizes.
func (c *code) cost(size *[288]uint8) (n int) {
	for i, f := range c.freq {
		n += int(f) * int(size[i])
	}
	return n
}

// build makes the best code of at most most bits for the frequencies. It always
// has at least two symbols, since some decoders want codes to be complete.
func (c *code) build(most int) {
	keys := c.keys[:0]
	for sym, f := range c.freq {
		c.size[sym] = 0
		if f > 0 {
			keys = append(keys, f<<9|uint32(sym))
		}
	}
	for sym := uint32(0); len(keys) < 2; sym++ {
		if len(keys) == 0 || keys[0]&511 != sym {
			keys = append(keys, 1<<9|sym)
		}
	}
	slices.Sort(keys)

	// Moffat and Katajainen, In-Place Calculation of Minimum-Redundancy Codes:
	// weights become parents, parents depths.
	var w [288]uint32
	n := len(keys)
	for i, k := range keys {
		w[i] = k >> 9
	}
	leaf, root := 0, 0
	for next := range n - 1 {
		var sum uint32
		for range 2 {
			if leaf >= n || root < next && w[root] < w[leaf] {
				sum += w[root]
				w[root] = uint32(next)
				root++
			} else {
				sum += w[leaf]
				leaf++
			}
		}
		w[next] = sum
	}
	w[n-2] = 0
	for i := n - 3; i >= 0; i-- {
		w[i] = w[w[i]] + 1
	}
	// Inner nodes of each depth give the number of leaves of each depth.
	var count [16]int // leaves of each length; those too long count for most
	free, depth, inner := 1, 0, n-2
	for free > 0 {
		used := 0
		for inner >= 0 && int(w[inner]) == depth {
			used++
			inner--
		}
		count[min(depth, most)] += free - used
		free, depth = 2*used, depth+1
	}
	if depth-1 > most {
		limit(&count, most)
	}

	// The rarest symbols get the longest codes.
	i := 0
	for length := most; length > 0; length-- {
		for range count[length] {
			c.size[keys[i]&511] = uint8(length)
			i++
		}
	}
	c.assign(&count)
}

// limit makes a code of lengths that were cut to most a prefix code again.
func limit(count *[16]int, most int) {
	// The sum of all codes' shares may be at most 1<<most.
	sum := 0
	for length := 1; length <= most; length++ {
		sum += count[length] << (most - length)
	}
	for ; sum > 1<<most; sum-- {
		length := most - 1
		for count[length] == 0 {
			length--
		}
		// A leaf becomes an inner node, with itself and one of the longest
		// below it.
		count[length]--
		count[length+1] += 2
		count[most]--
	}
}

// assign gives symbols their codes, by their sizes.
func (c *code) assign(count *[16]int) {
	next := uint32(0)
	for length := 1; length < len(count); length++ {
		next = (next + uint32(count[length-1])) << 1
		c.next[length] = next
	}
	for sym, n := range c.size {
		if n == 0 {
			c.codes[sym] = 0
			continue
		}
		c.codes[sym] = uint32(bits.Reverse16(uint16(c.next[n&15]<<(16-n)))) | uint32(n)<<16
		c.next[n&15]++
	}
}

// precode is the code for the sizes of the other two.
type precode struct {
	code
	items  []uint16 // symbol, and extra bits<<5
	room   [320]uint16
	nlit   int
	ndist  int
	nsizes int
	cost   int // bits of all of it
}

var preOrder = [19]uint8{16, 17, 18, 0, 8, 7, 9, 6, 10, 5, 11, 4, 12, 3, 13, 2, 14, 1, 15}

func preExtra(sym uint16) uint {
	switch sym {
	case 16:
		return 2
	case 17:
		return 3
	case 18:
		return 7
	}
	return 0
}

func (p *precode) build(lit, dist *code) {
	p.nlit, p.ndist = 286, 30
	for p.nlit > 257 && lit.size[p.nlit-1] == 0 {
		p.nlit--
	}
	for p.ndist > 1 && dist.size[p.ndist-1] == 0 {
		p.ndist--
	}
	var sizes [320]uint8
	n := copy(sizes[:], lit.size[:p.nlit])
	n += copy(sizes[n:], dist.size[:p.ndist])

	clear(p.freq[:])
	p.items = p.room[:0]
	item := func(sym, extra uint16) {
		p.freq[sym]++
		p.items = append(p.items, sym|extra<<5)
	}
	for i := 0; i < n; {
		v := sizes[i]
		run := 1
		for i+run < n && sizes[i+run] == v {
			run++
		}
		i += run
		if v == 0 {
			for run >= 11 {
				k := min(run, 138)
				item(18, uint16(k-11))
				run -= k
			}
			if run >= 3 {
				item(17, uint16(run-3))
				run = 0
			}
		} else if run >= 4 {
			item(uint16(v), 0)
			for run--; run >= 3; {
				k := min(run, 6)
				item(16, uint16(k-3))
				run -= k
			}
		}
		for range run {
			item(uint16(v), 0)
		}
	}
	p.code.build(mostPreBits)
	p.nsizes = len(preOrder)
	for p.nsizes > 4 && p.size[preOrder[p.nsizes-1]] == 0 {
		p.nsizes--
	}
	p.cost = 5 + 5 + 4 + 3*p.nsizes
	for _, it := range p.items {
		p.cost += int(p.size[it&31]) + int(preExtra(it&31))
	}
}

func (p *precode) write(e *Encoder) {
	e.add(uint64(p.nlit-257), 5)
	e.add(uint64(p.ndist-1), 5)
	e.add(uint64(p.nsizes-4), 4)
	e.flush()
	for _, sym := range preOrder[:p.nsizes] {
		e.add(uint64(p.size[sym]), 3)
		e.flush()
	}
	for _, it := range p.items {
		c := p.codes[it&31]
		e.add(uint64(c&0xffff), uint(c>>16))
		e.add(uint64(it>>5), preExtra(it&31))
		e.flush()
	}
}

var (
	lengthExtra = [29]uint8{0, 0, 0, 0, 0, 0, 0, 0, 1, 1, 1, 1, 2, 2, 2, 2, 3, 3, 3, 3, 4, 4, 4, 4, 5, 5, 5, 5, 0}
	distExtra   = [32]uint8{0, 0, 0, 0, 1, 1, 2, 2, 3, 3, 4, 4, 5, 5, 6, 6, 7, 7, 8, 8, 9, 9, 10, 10, 11, 11, 12, 12, 13, 13}

	lengthBase [29]uint16
	lengthSlot [256]uint8 // by length-3
	distBase   [32]uint16
	distSlots  [512]uint8 // by distance-1 up to 256, and by its upper bits beyond

	fixedLit, fixedDist code
)

// distSlot returns the symbol of a distance.
func distSlot(dist int) uint8 {
	if d := uint(dist - 1); d < 256 {
		return distSlots[d]
	} else {
		return distSlots[256+d>>7&255] & 31
	}
}

func init() {
	length := uint16(minMatch)
	for slot, extra := range lengthExtra {
		lengthBase[slot] = length
		for range 1 << extra {
			if length <= maxMatch {
				lengthSlot[length-minMatch] = uint8(slot)
			}
			length++
		}
		if slot == len(lengthExtra)-2 {
			length = maxMatch // maxMatch has a separate symbol
		}
	}
	dist := 1
	for slot, extra := range distExtra[:30] {
		distBase[slot] = uint16(dist)
		for range 1 << extra {
			if d := dist - 1; d < 256 {
				distSlots[d] = uint8(slot)
			} else {
				distSlots[256+d>>7] = uint8(slot)
			}
			dist++
		}
	}
	var count, five [16]int
	for sym := range fixedLit.size {
		n := uint8(8)
		switch {
		case sym >= 144 && sym < 256:
			n = 9
		case sym >= 256 && sym < 280:
			n = 7
		}
		fixedLit.size[sym] = n
		count[n]++
	}
	fixedLit.assign(&count)
	for sym := range 32 {
		fixedDist.size[sym] = 5
		five[5]++
	}
	fixedDist.assign(&five)
}
