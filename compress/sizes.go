package compress

import "encoding/binary"

// A gzip member may record how long it is in the extra field of its header
// (RFC 1952, 2.3.1.1), so that a reader finds the next one without inflating
// it. This package's subfield is "WR", with 8 bytes, little-endian:
//
//	bytes 0 to 3  size of the member, header and trailer included
//	bytes 4 to 7  size of its inflated content
//
// BGZF, which bgzip(1) writes, has "BC" with the size of the member less one
// in two bytes, and its members inflate to at most 64 KiB.
const (
	gzipFixed   = 10 // bytes of a header without optional fields
	gzipTrailer = 8  // CRC-32 and size
	sizedHead   = gzipFixed + 2 + 4 + 8

	// memberInput is the most bytes that a sized member inflates to. Members do
	// not refer to each other: at this size that makes the output 1% larger.
	memberInput = 1 << 20

	bgzfInput = 64 << 10
)

// sizes has the sizes in the header of a member.
type sizes struct {
	head   int  // bytes of the header
	member int  // bytes of the member
	plain  int  // bytes it inflates to
	exact  bool // plain is not just the most there may be
}

// extraSize returns the length of the extra field of the member that begins
// with head, if that is deflated data with an extra field and nothing else
// optional in its header.
func extraSize(head []byte) (n int, ok bool) {
	if len(head) < gzipFixed+2 || head[0] != 0x1f || head[1] != 0x8b || head[2] != 8 || head[3] != flagExtra {
		return 0, false
	}
	return int(binary.LittleEndian.Uint16(head[gzipFixed:])), true
}

// parseSizes finds the sizes in a header, which ends with its extra field. ok
// is false if there are none that can be true, or the member is too large to
// be held as a whole.
func parseSizes(head []byte) (s sizes, ok bool) {
	n, ok := extraSize(head)
	if !ok || len(head) != gzipFixed+2+n {
		return sizes{}, false
	}
	for extra := head[gzipFixed+2:]; len(extra) >= 4; {
		id, n := string(extra[:2]), int(binary.LittleEndian.Uint16(extra[2:]))
		data := extra[4:]
		if n > len(data) {
			return sizes{}, false
		}
		data, extra = data[:n], data[n:]
		switch {
		case id == "WR" && n == 8:
			member, plain := binary.LittleEndian.Uint32(data), binary.LittleEndian.Uint32(data[4:])
			if member > memberMost || plain > memberInput {
				return sizes{}, false
			}
			s = sizes{len(head), int(member), int(plain), true}
		case id == "BC" && n == 2:
			s = sizes{len(head), int(binary.LittleEndian.Uint16(data)) + 1, bgzfInput, false}
		default:
			continue
		}
		// The shortest deflate data has two bytes.
		return s, s.member >= s.head+2+gzipTrailer
	}
	return sizes{}, false
}

// memberMost is how large a member may be for being inflated as a whole.
const memberMost = memberInput + memberInput/16 + 1<<10

// appendSizedHead appends the header of a member whose size is not known yet.
func appendSizedHead(b []byte, level, plain int) []byte {
	b = appendGzipHead(b, level, flagExtra)
	b = append(b, 4+8, 0, 'W', 'R', 8, 0)
	b = binary.LittleEndian.AppendUint32(b, 0)
	return binary.LittleEndian.AppendUint32(b, uint32(plain))
}

// recordSize fills in the size of a whole member.
func recordSize(member []byte) {
	binary.LittleEndian.PutUint32(member[sizedHead-8:], uint32(len(member)))
}

// appendGzipHead appends the fixed part of a header: deflate, no time, and an
// unknown system.
func appendGzipHead(b []byte, level int, flags byte) []byte {
	var effort byte
	switch level {
	case 1:
		effort = 4
	case 9:
		effort = 2
	}
	return append(b, 0x1f, 0x8b, 8, flags, 0, 0, 0, 0, effort, 255)
}
