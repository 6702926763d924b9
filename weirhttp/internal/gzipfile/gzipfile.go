// Package gzipfile tells from the two ends of a gzip file whether its first member
// can hold the whole of another file.
package gzipfile

import (
	"encoding/binary"
	"io"
)

const (
	headerSize = 10 // bytes of a header without optional fields
	leastSize  = 18 // bytes of a header and a trailer with no data between them
)

// OneMember reports whether the first member of a gzip file of size bytes can hold
// all of a file of plain bytes. It reads the two ends of the gzip file and inflates
// nothing.
//
// The last four bytes of a gzip file are the size of the last member's content,
// modulo 2³². In a large file the last of several members can have the expected
// size by chance. The header rules that out for the members of bgzip and of
// compress.Members, because they record their own length there.
func OneMember(gz io.ReaderAt, size, plain int64) bool {
	var tail [4]byte
	if size < leastSize {
		return false
	}
	if n, _ := gz.ReadAt(tail[:], size-int64(len(tail))); n < len(tail) || binary.LittleEndian.Uint32(tail[:]) != uint32(plain) {
		return false
	}
	var head [64]byte
	n, _ := gz.ReadAt(head[:min(size, int64(len(head)))], 0)
	if n < headerSize || head[0] != 0x1f || head[1] != 0x8b || head[2] != 8 {
		return false
	}
	member, told := memberSize(head[:n])
	return !told || member == size
}

// memberSize returns the length that a member records in the extra field of its
// header, as compress.Members ("WR") and bgzip ("BC") do. head is the beginning of
// the member.
func memberSize(head []byte) (n int64, ok bool) {
	const flagExtra = 4
	if head[3]&flagExtra == 0 || len(head) < headerSize+2 {
		return 0, false
	}
	extra := head[headerSize+2:]
	extra = extra[:min(len(extra), int(binary.LittleEndian.Uint16(head[headerSize:])))]
	for len(extra) >= 4 {
		id, n := string(extra[:2]), int(binary.LittleEndian.Uint16(extra[2:]))
		if extra = extra[4:]; n > len(extra) {
			break
		}
		switch {
		case id == "WR" && n == 8:
			return int64(binary.LittleEndian.Uint32(extra)), true
		case id == "BC" && n == 2:
			return int64(binary.LittleEndian.Uint16(extra)) + 1, true
		}
		extra = extra[n:]
	}
	return 0, false
}
