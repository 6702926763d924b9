package compress

import (
	"encoding/binary"
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
// of input has arrived. Options: [Level] 0 to 9, default 6; [Workers]; [Members].
func Gzip(opts ...Option) weir.Stage[byte, byte] {
	c := configure("gzip", opts, "Level", "Workers", "Members")
	c.levels(0, 9, 6)
	if c.members {
		return gzipMembers(c).stage()
	}
	k := deflateBlocks(c)
	k.begin = func() []byte { return appendGzipHead(nil, c.level, 0) }
	k.sum = func() (func([]byte), func() []byte) {
		var crc, size uint32
		return func(p []byte) {
				crc = crc32.Update(crc, crc32.IEEETable, p)
				size += uint32(len(p))
			}, func() []byte {
				return binary.LittleEndian.AppendUint32(binary.LittleEndian.AppendUint32(nil, crc), size)
			}
	}
	return k.stage()
}

// Zlib compresses to the zlib format (RFC 1950), in blocks as [Gzip] does.
// Options: [Level] 0 to 9, default 6; [Workers].
func Zlib(opts ...Option) weir.Stage[byte, byte] {
	c := configure("zlib", opts, "Level", "Workers")
	c.levels(0, 9, 6)
	k := deflateBlocks(c)
	k.begin = func() []byte { return zlibHeader(c.level) }
	k.sum = func() (func([]byte), func() []byte) {
		h := adler32.New()
		return func(p []byte) { h.Write(p) }, func() []byte { return h.Sum(nil) }
	}
	return k.stage()
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
// Options: [Level] 0 to 9, default 6; [Workers].
func Deflate(opts ...Option) weir.Stage[byte, byte] {
	c := configure("deflate", opts, "Level", "Workers")
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
