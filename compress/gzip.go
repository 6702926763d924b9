package compress

import (
	"encoding"
	"encoding/binary"
	"hash"
	"hash/adler32"
	"hash/crc32"
	"io"
	"sync"

	"github.com/weir-go/weir"
	"github.com/weir-go/weir/internal/deflate"
)

// Gzip compresses to the gzip format (RFC 1952), as one member unless [Members] is
// given. It compresses every mebibyte of input independently, and ends it at a byte
// boundary with two empty stored blocks, as pigz --independent does. The output is
// the same for any number of workers. Gzip passes on a block when its whole mebibyte
// of input has arrived. Options: [Level] 0 to 9, default 6; [Workers]; [Members]; [Resume].
func Gzip(opts ...Option) weir.Stage[byte, byte] {
	c := configure("gzip", opts, "Level", "Workers", "Members", "Resume")
	c.levels(0, 9, 6)
	if c.members {
		return gzipMembers(c).stage()
	}
	k := deflateBlocks(c)
	k.begin = func() []byte { return appendGzipHead(nil, c.level, 0) }
	k.sum = newGzipSum
	return k.stage()
}

// gzipSum is the CRC-32 and the size in the trailer of a member.
type gzipSum struct{ crc, size uint32 }

func newGzipSum(state []byte, n int64) (summer, error) {
	s := &gzipSum{size: uint32(n)}
	if n > 0 {
		if len(state) != 4 {
			return nil, errState
		}
		s.crc = binary.LittleEndian.Uint32(state)
	}
	return s, nil
}

func (s *gzipSum) add(p []byte) {
	s.crc = crc32.Update(s.crc, crc32.IEEETable, p)
	s.size += uint32(len(p))
}

func (s *gzipSum) end() []byte { return binary.LittleEndian.AppendUint32(s.state(), s.size) }

func (s *gzipSum) state() []byte { return binary.LittleEndian.AppendUint32(nil, s.crc) }

// Zlib compresses to the zlib format (RFC 1950), in blocks as [Gzip] does.
// Options: [Level] 0 to 9, default 6; [Workers]; [Resume].
func Zlib(opts ...Option) weir.Stage[byte, byte] {
	c := configure("zlib", opts, "Level", "Workers", "Resume")
	c.levels(0, 9, 6)
	k := deflateBlocks(c)
	k.begin = func() []byte { return zlibHeader(c.level) }
	k.sum = newZlibSum
	return k.stage()
}

// zlibSum is the sum at the end of the zlib format.
type zlibSum struct{ h hash.Hash32 }

func newZlibSum(state []byte, n int64) (summer, error) {
	s := zlibSum{adler32.New()}
	if n > 0 && s.h.(encoding.BinaryUnmarshaler).UnmarshalBinary(state) != nil {
		return nil, errState
	}
	return s, nil
}

func (s zlibSum) add(p []byte) { s.h.Write(p) }
func (s zlibSum) end() []byte  { return s.h.Sum(nil) }

func (s zlibSum) state() []byte {
	state, _ := s.h.(encoding.BinaryMarshaler).MarshalBinary() // adler32 has no error
	return state
}

// zlibHeader says deflate with a window of 32 KiB, and how hard the encoder
// tried.
func zlibHeader(level int) []byte {
	switch {
	case level < 2:
		return []byte{0x78, 0x01}
	case level < 6:
		return []byte{0x78, 0x5e}
	case level == 6:
		return []byte{0x78, 0x9c}
	}
	return []byte{0x78, 0xda}
}

// Deflate compresses to bare deflate data (RFC 1951), in blocks as [Gzip] does.
// Options: [Level] 0 to 9, default 6; [Workers]; [Resume].
func Deflate(opts ...Option) weir.Stage[byte, byte] {
	c := configure("deflate", opts, "Level", "Workers", "Resume")
	c.levels(0, 9, 6)
	return deflateBlocks(c).stage()
}

var deflatePools pools

// deflateBlocks compresses blocks that do not refer to each other. Each ends at
// a byte, so that they can simply be joined.
func deflateBlocks(c config) packer {
	pool := deflaters(c)
	return packer{
		c: c, size: deflate.MaxInput, slack: deflate.Slack, holds: deflate.Size(c.level),
		pack: func(b *block) error {
			e := pool.Get().(*deflate.Encoder)
			b.out = e.Append(b.out[:0], deflateInput(b), len(b.in), b.last)
			pool.Put(e)
			return nil
		},
		write: func(w io.Writer, b *block) (err error) {
			e := pool.Get().(*deflate.Encoder)
			b.out, err = e.WriteTo(w, b.out, deflateInput(b), len(b.in), b.last)
			pool.Put(e)
			return err
		},
	}
}

// deflaters keeps encoders of a level.
func deflaters(c config) *sync.Pool {
	return deflatePools.get(int64(c.level), func() any { return deflate.NewEncoder(c.level) })
}

// deflateInput returns the memory of a block's input.
func deflateInput(b *block) *deflate.Input { return (*deflate.Input)(b.in[:cap(b.in)]) }

// gzipMembers compresses blocks that are members, each with its sizes.
func gzipMembers(c config) packer {
	pool := deflaters(c)
	return packer{
		c: c, size: memberInput, slack: deflate.Slack, keep: memberKeep, holds: deflate.Size(c.level),
		pack: func(b *block) error {
			out := appendSizedHead(b.out[:memberKeep], c.level, len(b.in))
			e := pool.Get().(*deflate.Encoder)
			out = e.Append(out, deflateInput(b), len(b.in), true)
			pool.Put(e)
			out = binary.LittleEndian.AppendUint32(out, crc32.ChecksumIEEE(b.in))
			b.out = binary.LittleEndian.AppendUint32(out, uint32(len(b.in)))
			recordSize(b.out[memberKeep:])
			return nil
		},
	}
}

// memberKeep is how many bytes of a member wait for the next one. If the writer
// is killed, the output then ends within a member, so a reader notices that
// members are missing.
const memberKeep = gzipTrailer
