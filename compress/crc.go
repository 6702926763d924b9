package compress

// A CRC is a polynomial over the bits 0 and 1, modulo another one. The
// contribution of a byte depends only on how many bytes follow it, so the sum
// of a file can be computed from the sums of its two parts.

// crcPoly is the polynomial of CRC-32, without its highest term and with the
// lowest bit for the highest power, like all sums.
const crcPoly = 0xedb88320

// crcTimes multiplies two polynomials.
func crcTimes(a, b uint32) (p uint32) {
	for m := uint32(1) << 31; m != 0; m >>= 1 {
		if a&m != 0 {
			p ^= b
		}
		b = b>>1 ^ crcPoly&-(b&1)
	}
	return p
}

// crcShifts are the polynomials x^(8·2^k), which move a sum by 2^k bytes.
var crcShifts = func() (t [63]uint32) {
	p := uint32(1) << (31 - 8)
	for k := range t {
		t[k] = p
		p = crcTimes(p, p)
	}
	return t
}()

// crcJoin returns the CRC-32 of a followed by b, of their sums and the length of
// b.
func crcJoin(a, b uint32, n int64) uint32 {
	for k := 0; n > 0; n, k = n>>1, k+1 {
		if n&1 != 0 {
			a = crcTimes(crcShifts[k], a)
		}
	}
	return a ^ b
}
