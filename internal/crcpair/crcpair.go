// Package crcpair computes a checksum of 64 bits that can be continued from its
// value: the CRC-32C and the CRC-32 of the same bytes, side by side.
//
// The two polynomials have no common factor, so together they detect what a CRC of
// degree 64 does. Processors of the amd64 and arm64 families have instructions for
// both, and compute the pair several times as fast as hash/crc64 does its sum.
package crcpair

import "hash/crc32"

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// Update returns the sum of the bytes with the given sum followed by p. The sum of
// no bytes is 0.
func Update(sum uint64, p []byte) uint64 {
	const piece = 16 << 10 // small enough to be read from the first cache the second time
	c, ieee := uint32(sum>>32), uint32(sum)
	for len(p) > 0 {
		q := p[:min(len(p), piece)]
		p = p[len(q):]
		c = crc32.Update(c, castagnoli, q)
		ieee = crc32.Update(ieee, crc32.IEEETable, q)
	}
	return uint64(c)<<32 | uint64(ieee)
}
