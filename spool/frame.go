package spool

import (
	"encoding/binary"
	"errors"
	"hash/crc32"
)

// A segment is a file that begins with a head of headLen bytes, followed by frames.
// All numbers are little-endian; sums are CRC-32C.
//
//	head                           frame
//	 0  magic, 8 bytes              0  magic, 4 bytes
//	 8  id of the log, 16 bytes     4  kind, 1 byte; 3 bytes of zeros
//	24  offset of its first byte    8  length of the contents, after these 40 bytes
//	32  number of the segment      12  sum of the contents
//	40  mode, 1 byte; zeros        16  offset in the log of the first byte
//	60  sum of the 60 bytes        24  bytes of this file that were synced before
//	                               32  the first 4 bytes of the log's id
//	                               36  sum of the 36 bytes
const (
	headLen  = 64
	frameLen = 40

	headMagic  = "weirspl1"
	frameMagic = "wFr1"

	// mostData is the largest data frame, and mostCheck the largest checkpoint frame.
	mostData  = 256 << 10
	mostCheck = 1 << 20
)

// The modes of a log.
const (
	modeDurable = 1 // it outlives the process
	modeBuffer  = 2 // it is of no use to another process
)

// The kinds of frames.
const (
	kindData  = 1
	kindCheck = 2 // a checkpoint of the producer, as JSON
)

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

func sum(p []byte) uint32 { return crc32.Checksum(p, castagnoli) }

type logID [16]byte

// head is the beginning of a segment.
type head struct {
	id     logID
	first  int64
	number int64
	mode   byte
}

func (h head) put(p []byte) {
	clear(p[:headLen])
	copy(p, headMagic)
	copy(p[8:], h.id[:])
	binary.LittleEndian.PutUint64(p[24:], uint64(h.first))
	binary.LittleEndian.PutUint64(p[32:], uint64(h.number))
	p[40] = h.mode
	binary.LittleEndian.PutUint32(p[60:], sum(p[:60]))
}

var (
	errShort     = errors.New("it ends within a frame")
	errNoHead    = errors.New("no head of a segment")
	errNoFrame   = errors.New("no frame")
	errFrameSum  = errors.New("sum of the frame's contents differs")
	errFrameKind = errors.New("frame of an unknown kind, or with an impossible length")
)

func parseHead(p []byte) (h head, err error) {
	if len(p) < headLen || string(p[:8]) != headMagic || binary.LittleEndian.Uint32(p[60:]) != sum(p[:60]) {
		return h, errNoHead
	}
	copy(h.id[:], p[8:])
	h.first, h.number, h.mode = int64(binary.LittleEndian.Uint64(p[24:])), int64(binary.LittleEndian.Uint64(p[32:])), p[40]
	if h.first < 0 || h.number < 0 || h.mode != modeDurable && h.mode != modeBuffer {
		return h, errNoHead
	}
	return h, nil
}

// frame is the head of a frame.
type frame struct {
	kind   byte
	length int
	sum    uint32
	offset int64
	synced int64
}

func (f frame) put(p []byte, id *logID) {
	copy(p, frameMagic)
	p[4], p[5], p[6], p[7] = f.kind, 0, 0, 0
	binary.LittleEndian.PutUint32(p[8:], uint32(f.length))
	binary.LittleEndian.PutUint32(p[12:], f.sum)
	binary.LittleEndian.PutUint64(p[16:], uint64(f.offset))
	binary.LittleEndian.PutUint64(p[24:], uint64(f.synced))
	copy(p[32:36], id[:4])
	binary.LittleEndian.PutUint32(p[36:], sum(p[:36]))
}

// parseFrame reads the first frameLen bytes of a frame of the log with this id; nil
// means any log.
func parseFrame(p []byte, id *logID) (f frame, err error) {
	switch {
	case len(p) < frameLen:
		return f, errShort
	case string(p[:4]) != frameMagic || binary.LittleEndian.Uint32(p[36:]) != sum(p[:36]),
		id != nil && string(p[32:36]) != string(id[:4]):
		return f, errNoFrame
	}
	f.kind, f.length, f.sum = p[4], int(binary.LittleEndian.Uint32(p[8:])), binary.LittleEndian.Uint32(p[12:])
	f.offset, f.synced = int64(binary.LittleEndian.Uint64(p[16:])), int64(binary.LittleEndian.Uint64(p[24:]))
	switch {
	case f.kind == kindData && 0 < f.length && f.length <= mostData && f.offset >= 0:
	case f.kind == kindCheck && 0 < f.length && f.length <= mostCheck && f.offset >= 0:
	default:
		return f, errFrameKind
	}
	return f, nil
}
