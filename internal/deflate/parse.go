package deflate

import "math/bits"

// store compresses nothing.
func (e *Encoder) store(in *Input, n int, last bool) { e.stored(in[:n], last) }

// begin begins a block.
func (e *Encoder) begin() {
	e.nseqs = 0
	e.seqs[0] = sequence{}
	clear(e.lit.freq[:])
	clear(e.dist.freq[:])
	e.split = splitter{}
}

// literal takes b as it is.
func (e *Encoder) literal(b byte) {
	e.lit.freq[b]++
	e.split.fresh[b>>5&6|b&1]++
	e.split.nfresh++
	e.seqs[e.nseqs].lits++
}

// match takes a match. There must be room for another sequence.
func (e *Encoder) match(length, dist int) {
	e.lit.freq[firstLength+int(lengthSlot[uint8(length-minMatch)])]++
	e.dist.freq[distSlot(dist)]++
	if length >= 9 {
		e.split.fresh[longMatch]++
	} else {
		e.split.fresh[shortMatch]++
	}
	e.split.nfresh++
	s := &e.seqs[e.nseqs]
	s.length, s.dist = uint16(length), uint16(dist)
	e.nseqs++
	e.seqs[e.nseqs] = sequence{}
}

// blockEnd returns where a block that begins at i ends at the latest. It leaves
// no rest that is too small to be a block.
func blockEnd(i, n, most int) int {
	if n-i < most+minBlock {
		return n
	}
	return i + most
}

// fast looks at the last two positions of four bytes and takes what it finds.
func (e *Encoder) fast(in *Input, n int, last bool) {
	for i := 0; i < n; {
		start, end := i, blockEnd(i, n, fastBlock)
		e.begin()
		for i < end && e.nseqs < maxSeqs-1 {
			most := min(n-i, maxMatch)
			if most < 5 {
				e.literal(in[i])
				i++
				continue
			}
			v := load32(in, i)
			h := hash4(v)
			cur := e.base + uint32(i)
			c0, c1 := e.head4[h], e.head3[h]
			e.head4[h], e.head3[h] = cur, c0
			d0, d1 := cur-c0, cur-c1
			length, dist := 0, 0
			if d0 < window && load32(in, i-int(d0)) == v {
				length, dist = extend(in, i, i-int(d0), 4, most), int(d0)
			}
			if d1 < window && length < e.nice && load32(in, i-int(d1)) == v {
				if k := extend(in, i, i-int(d1), 4, most); k > length {
					length, dist = k, int(d1)
				}
			}
			if length == 0 {
				e.literal(in[i])
				i++
				continue
			}
			e.match(length, dist)
			if length+5 <= n-i {
				for k := i + 1; k < i+length; k++ {
					h := hash4(load32(in, k))
					e.head3[h] = e.head4[h]
					e.head4[h] = e.base + uint32(k)
				}
			}
			i += length
		}
		e.block(in, start, i, last && i == n)
	}
}

// greedy takes the longest match at each position.
func (e *Encoder) greedy(in *Input, n int, last bool) {
	for i := 0; i < n; {
		start, end := i, blockEnd(i, n, softBlock)
		e.begin()
		least := e.firstLeast(in[i:end])
		for i < end && e.nseqs < maxSeqs-1 && !e.split.ends(i-start, n-i) {
			most := min(n-i, maxMatch)
			length, dist := e.longest(in, i, least-1, most, min(e.nice, most), e.depth)
			if length < least || length == minMatch && dist > 4096 {
				e.literal(in[i])
				i++
				continue
			}
			e.match(length, dist)
			if length+5 <= n-i {
				e.insert(in, i+1, length-1)
			}
			i += length
		}
		e.block(in, start, i, last && i == n)
	}
}

// lazy takes the longest match unless there is a better one at the next
// position, or with lazy2 at the one after that.
func (e *Encoder) lazy(in *Input, n int, last bool) {
	for i := 0; i < n; {
		start, end := i, blockEnd(i, n, softBlock)
		e.begin()
		least := e.firstLeast(in[i:end])
		again := i + 10_000
	sequences:
		for i < end && e.nseqs < maxSeqs-1 && !e.split.ends(i-start, n-i) {
			if i >= again {
				least = e.nextLeast()
				again = i + i - start
			}
			most := min(n-i, maxMatch)
			nice := min(e.nice, most)
			length, dist := e.longest(in, i, least-1, most, nice, e.depth)
			if length < least || length == minMatch && dist > 8192 {
				e.literal(in[i&(MaxInput-1)])
				i++
				continue
			}
			for length < nice {
				most = min(n-i-1, maxMatch)
				nice = min(e.nice, most)
				l, d := e.longest(in, i+1, length-1, most, nice, e.depth>>1)
				if better(l, d, length, dist, 2) {
					e.literal(in[i&(MaxInput-1)])
					i++
					length, dist = l, d
					continue
				}
				if !e.lazy2 || n-i < 2 {
					e.matchAt(in, i, n, length, dist, 2)
					i += length
					continue sequences
				}
				most = min(n-i-2, maxMatch)
				nice = min(e.nice, most)
				l, d = e.longest(in, i+2, length-1, most, nice, e.depth>>2)
				if !better(l, d, length, dist, 6) {
					e.matchAt(in, i, n, length, dist, 3)
					i += length
					continue sequences
				}
				e.literal(in[i&(MaxInput-1)])
				e.literal(in[(i+1)&(MaxInput-1)])
				i += 2
				length, dist = l, d
			}
			e.matchAt(in, i, n, length, dist, 1)
			i += length
		}
		e.block(in, start, i, last && i == n)
	}
}

// matchAt takes the match at i. The first entered of its positions are in the
// tables already.
func (e *Encoder) matchAt(in *Input, i, n, length, dist, entered int) {
	e.match(length, dist)
	if length+5 <= n-i {
		e.insert(in, i+entered, length-entered)
	}
}

// better reports whether a match is worth the literals before it: each byte of
// length is worth four bits, and the distance costs its extra bits.
func better(length, dist, oldLength, oldDist, least int) bool {
	return length >= oldLength &&
		4*(length-oldLength)+bits.Len(uint(oldDist))-bits.Len(uint(dist)) > least
}

// firstLeast returns how long matches have to be in a block, judged by its
// beginning. Where few bytes differ literals are cheap, and short matches do
// not pay.
func (e *Encoder) firstLeast(block []byte) int {
	if len(block) < 512 {
		return minMatch
	}
	var used [256]bool
	for _, b := range block[:min(len(block), 4096)] {
		used[b] = true
	}
	n := 0
	for _, u := range used {
		if u {
			n++
		}
	}
	return e.least(n)
}

// nextLeast is firstLeast by the literals so far, without rare ones.
func (e *Encoder) nextLeast() int {
	var all uint32
	for _, f := range e.lit.freq[:256] {
		all += f
	}
	n := 0
	for _, f := range e.lit.freq[:256] {
		if f > all>>10 {
			n++
		}
	}
	return e.least(n)
}

func (e *Encoder) least(literals int) int {
	n := minMatch
	switch {
	case literals < 6:
		n = 9
	case literals < 8:
		n = 8
	case literals < 10:
		n = 7
	case literals < 16:
		n = 6
	case literals < 45:
		n = 5
	case literals < 80:
		n = 4
	}
	// Long matches are not found in a short search.
	switch {
	case e.depth < 5:
		n = min(n, 4)
	case e.depth < 10:
		n = min(n, 5)
	case e.depth < 16:
		n = min(n, 7)
	}
	return n
}

const (
	shortMatch = 8
	longMatch  = 9
	observed   = 10
)

// splitter finds out where a block should end: where what comes differs from
// what the block has. It tells eight kinds of literals and two of matches apart.
type splitter struct {
	old, fresh   [observed]uint32
	nold, nfresh uint32
}

// ends reports whether a block of size bytes should end, with rest bytes to
// come.
func (s *splitter) ends(size, rest int) bool {
	return s.nfresh >= 512 && size >= minBlock && rest >= minBlock && s.differs(size)
}

func (s *splitter) differs(size int) bool {
	if s.nold > 0 {
		// The sum of the differences of all probabilities, times nold*nfresh.
		var delta uint64
		for i := range s.old {
			expected := uint64(s.old[i]) * uint64(s.nfresh)
			actual := uint64(s.fresh[i]) * uint64(s.nold)
			delta += max(expected, actual) - min(expected, actual)
		}
		all := uint64(s.nold) + uint64(s.nfresh)
		cutoff := uint64(s.nfresh) * 200 / 512 * uint64(s.nold)
		if size < 10_000 && all < 8192 {
			// A short block pays for its codes only if it is quite different.
			cutoff += cutoff * (8192 - all) / 8192
		}
		if delta+uint64(size/4096)*uint64(s.nold) >= cutoff {
			return true
		}
	}
	for i := range s.old {
		s.old[i] += s.fresh[i]
	}
	s.nold += s.nfresh
	s.fresh, s.nfresh = [observed]uint32{}, 0
	return false
}
