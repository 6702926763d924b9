package deflate

import "math/bits"

// store compresses nothing.
func (e *Encoder) store(in *Input, n int, last bool) {
	for i := 0; i < n; {
		start := i
		i = min(n, i+1<<16-1)
		e.stored(in[start:i], last && i == n)
		e.emit()
	}
}

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

// fastest looks at the last position of five bytes, and skips more and more where
// it finds nothing.
func (e *Encoder) fastest(in *Input, n int, last bool) {
	const tail = 16 // bytes at the end that are not looked for
	t := e.pairs
	for i := 0; i < n; {
		start, end := i, blockEnd(i, n, softBlock)
		from := i // beginning of the literals that are not counted yet
		e.begin()
		for i < end && e.nseqs < maxSeqs-1 && !e.split.ends(i-start, n-i) {
			if n-i < tail {
				i = n
				break
			}
			v := load64(in, i)
			cur := e.base + uint32(i)
			h := hash5(v)
			d := cur - t.last4[h]
			t.last4[h] = cur
			if !near(in, i, v, d) {
				i += 1 + (i-from)>>6
				if i-from >= 512 {
					e.literals(in, from, i)
					from = i
				}
				continue
			}
			dist := int(d)
			length := extend(in, i, i-dist, 4, min(n-i, maxMatch))
			for i > from && i > dist && length < maxMatch && in[(i-1)&(MaxInput-1)] == in[(i-1-dist)&(MaxInput-1)] {
				i--
				length++
			}
			e.literals(in, from, i)
			e.match(length, dist)
			i += length
			from = i
			if i+8 < n {
				v := load64(in, i-2)
				t.last4[hash5(v)] = e.base + uint32(i-2)
				t.last4[hash5(v>>8)] = e.base + uint32(i-1)
			}
		}
		e.literals(in, from, i)
		e.block(in, start, i, last && i == n)
	}
}

// fast looks at the last two positions of four bytes and takes the match that it
// finds.
func (e *Encoder) fast(in *Input, n int, last bool) {
	t := e.pairs
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
			l := &t.last7[h]
			c0, c1 := l[0], l[1]
			l[0], l[1] = cur, c0
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
			if length+8 <= n-i {
				for k := i + 1; k < i+length; k++ {
					l := &t.last7[hash4(load32(in, k))]
					l[0], l[1] = e.base+uint32(k), l[0]
				}
			}
			i += length
		}
		e.block(in, start, i, last && i == n)
	}
}

// lazy takes the longest match unless there is a better one at the next
// position, or with more at the one after that.
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
				if !e.more || n-i < 2 {
					i = e.matchAt(in, i, n, length, dist, 2)
					continue sequences
				}
				most = min(n-i-2, maxMatch)
				nice = min(e.nice, most)
				l, d = e.longest(in, i+2, length-1, most, nice, e.depth>>2)
				if !better(l, d, length, dist, 6) {
					i = e.matchAt(in, i, n, length, dist, 3)
					continue sequences
				}
				e.literal(in[i&(MaxInput-1)])
				e.literal(in[(i+1)&(MaxInput-1)])
				i += 2
				length, dist = l, d
			}
			i = e.matchAt(in, i, n, length, dist, 1)
		}
		e.block(in, start, i, last && i == n)
	}
}

// literals takes in[from:to] as it is.
func (e *Encoder) literals(in *Input, from, to int) {
	for _, b := range in[from:to] {
		e.lit.freq[b]++
		e.split.fresh[b>>5&6|b&1]++
	}
	e.split.nfresh += uint32(to - from)
	e.seqs[e.nseqs].lits += uint32(to - from)
}

// near reports whether the four bytes at i equal those at distance d, and that
// position is in the window.
func near(in *Input, i int, v uint64, d uint32) bool {
	return d < window && load32(in, i-int(d)) == uint32(v)
}

// double looks at the last two positions of seven bytes, and at the last one of
// four, with no chains to follow. Where a match ends it looks for a longer one
// that has the same end.
func (e *Encoder) double(in *Input, n int, last bool) {
	const tail = 16 // bytes at the end that are not looked for
	t := e.pairs
	for i := 0; i < n; {
		start, end := i, blockEnd(i, n, softBlock)
		from := i // beginning of the literals that are not counted yet
		e.begin()
		rep := 0
		for i < end && e.nseqs < maxSeqs-1 && !e.split.ends(i-start, n-i) {
			if n-i < tail {
				i = n
				break
			}
			v := load64(in, i)
			cur := e.base + uint32(i)
			h := hash4(uint32(v))
			l := &t.last7[hash7(v)]
			d0, d1, dc := cur-l[0], cur-l[1], cur-t.last4[h]
			l[0], l[1] = cur, l[0]
			t.last4[h] = cur
			most := min(n-i, maxMatch)
			entered := i + 1
			var length, dist int
			switch {
			case near(in, i, v, d0):
				length, dist = extend(in, i, i-int(d0), 4, most), int(d0)
				if length < most && near(in, i, v, d1) {
					if k := extend(in, i, i-int(d1), 4, most); k > length {
						length, dist = k, int(d1)
					}
				}
			case near(in, i, v, d1):
				length, dist = extend(in, i, i-int(d1), 4, most), int(d1)
			case near(in, i, v, dc):
				length, dist = extend(in, i, i-int(dc), 4, most), int(dc)
				if length >= e.nice {
					break
				}
				v := load64(in, i+1)
				cur++
				l := &t.last7[hash7(v)]
				d0, d1 := cur-l[0], cur-l[1]
				l[0], l[1] = cur, l[0]
				t.last4[hash4(uint32(v))] = cur
				entered++
				at := i
				most := min(n-at-1, maxMatch)
				if rep > 0 && near(in, at+1, v, uint32(rep)) {
					if k := extend(in, at+1, at+1-rep, 4, most); k > length {
						length, dist, i = k, rep, at+1
					}
				}
				if near(in, at+1, v, d0) {
					if k := extend(in, at+1, at+1-int(d0), 4, most); k > length {
						length, dist, i = k, int(d0), at+1
					}
				}
				if near(in, at+1, v, d1) {
					if k := extend(in, at+1, at+1-int(d1), 4, most); k > length {
						length, dist, i = k, int(d1), at+1
					}
				}
			default:
				i++
				if i-from >= 512 {
					e.literals(in, from, i)
					from = i
				}
				continue
			}
			if e.more && i+length+8 <= n && length < maxMatch-2 {
				const skip = 2
				cur := e.base + uint32(i+length)
				for _, c := range t.last7[hash7(load64(in, i+length))] {
					d := cur - c
					if d >= window || int(d) > i || int(d) == dist {
						continue
					}
					if k := extend(in, i+skip, i+skip-int(d), 0, min(n-i-skip, maxMatch)); k > length {
						length, dist, i = k, int(d), i+skip
						break
					}
				}
			}
			for i > from && i > dist && length < maxMatch && in[(i-1)&(MaxInput-1)] == in[(i-1-dist)&(MaxInput-1)] {
				i--
				length++
			}
			e.literals(in, from, i)
			e.match(length, dist)
			rep = dist
			i += length
			from = i
			if i+8 < n {
				for k := entered; k < i-1; k += 2 {
					v := load64(in, k)
					cur := e.base + uint32(k)
					t.last4[hash4(uint32(v))] = cur
					l := &t.last7[hash7(v)]
					l[0], l[1] = cur, l[0]
					l = &t.last7[hash7(v>>8)] // seven bytes remain
					l[0], l[1] = cur+1, l[0]
				}
			}
		}
		e.literals(in, from, i)
		e.block(in, start, i, last && i == n)
	}
}

// matchAt takes the match at i, the first entered positions of which are in the
// tables already, and returns where it ends. If the sequence at its end was seen
// before, a match at that earlier place may be longer.
func (e *Encoder) matchAt(in *Input, i, n, length, dist, entered int) int {
	const skip = 2
	if end := i + length; end+8 <= n && length < maxMatch-skip {
		d := int(e.base + uint32(end) - e.chains.last7[hash7(load64(in, end))])
		if uint(d) < window && d <= i && d != dist {
			k := extend(in, i+skip, i+skip-d, 0, min(n-i-skip, maxMatch))
			if k > length {
				s := skip
				for s > 0 && k < maxMatch && in[(i+s-1)&(MaxInput-1)] == in[(i+s-1-d)&(MaxInput-1)] {
					s--
					k++
				}
				for range s {
					e.literal(in[i&(MaxInput-1)])
					i++
					entered--
				}
				length, dist = k, d
			}
		}
	}
	e.match(length, dist)
	if entered = max(entered, 0); length+8 <= n-i {
		e.insert(in, i+entered, length-entered)
	}
	return i + length
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

// splitter finds where a block should end: where the next data differs from the
// data of the block. It distinguishes eight kinds of literals and two of
// matches.
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
