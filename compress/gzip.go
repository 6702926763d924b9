package compress

import (
	"encoding/binary"
	"hash/adler32"
	"hash/crc32"
	"sync"

	"github.com/klauspost/compress/flate"
	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/zlib"

	"github.com/weir-go/weir"
)

// Gzip compresses to the gzip format (RFC 1952), as one member unless [Members]
// says otherwise. Options: [Level] 0 to 9, default 6; [Workers]; [Members].
func Gzip(opts ...Option) weir.Stage[byte, byte] {
	c := configure("gzip", opts, "Level", "Workers", "Members")
	c.levels(0, 9, 6)
	if c.members {
		return gzipMembers(c).parallel()
	}
	if c.workers == 1 {
		return serial(c, gzipPools.get(int64(c.level), func() any {
			w, _ := gzip.NewWriterLevel(nil, c.level) // the level was checked
			return w
		}), deflateHolds)
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
	return k.parallel()
}

// Zlib compresses to the zlib format (RFC 1950). Options: [Level] 0 to 9,
// default 6; [Workers].
func Zlib(opts ...Option) weir.Stage[byte, byte] {
	c := configure("zlib", opts, "Level", "Workers")
	c.levels(0, 9, 6)
	if c.workers == 1 {
		return serial(c, zlibPools.get(int64(c.level), func() any {
			w, _ := zlib.NewWriterLevel(nil, c.level)
			return w
		}), deflateHolds)
	}
	k := deflateBlocks(c)
	k.begin = func() []byte { return zlibHeader(c.level) }
	k.sum = func() (func([]byte), func() []byte) {
		h := adler32.New()
		return func(p []byte) { h.Write(p) }, func() []byte { return h.Sum(nil) }
	}
	return k.parallel()
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

// Deflate compresses to bare deflate data (RFC 1951). Options: [Level] 0 to 9,
// default 6; [Workers].
func Deflate(opts ...Option) weir.Stage[byte, byte] {
	c := configure("deflate", opts, "Level", "Workers")
	c.levels(0, 9, 6)
	if c.workers == 1 {
		return serial(c, deflaters(c.level), deflateHolds)
	}
	return deflateBlocks(c).parallel()
}

var gzipPools, zlibPools, deflatePools, dictPools pools

const (
	// deflateHolds is what a deflate encoder keeps: its window and its hash
	// tables, the largest at level 9.
	deflateHolds = 1408 << 10

	// deflateBlock is the input of one worker at a time. At 256 KiB the
	// dictionary makes up for nearly all of what cutting costs, and all
	// blocks in flight stay small.
	deflateBlock = 256 << 10

	// deflateDict is how much of the block before is a block's dictionary.
	// Deflate could refer back twice as far, but each worker has to read its
	// dictionary first: at this size that costs 5% less time and the output
	// grows by less than 0.1%.
	deflateDict = 16 << 10
)

// deflateBlocks compresses blocks with the end of the one before as their
// dictionary. Each ends at a byte, so that they can simply be joined.
func deflateBlocks(c config) packer {
	pool := dictPools.get(int64(c.level), func() any {
		w, _ := flate.NewWriterDict(nil, c.level, nil)
		return w
	})
	return packer{
		c: c, size: deflateBlock, dict: deflateDict, holds: deflateHolds,
		pack: func(b *block) error {
			w := pool.Get().(*flate.Writer)
			defer pool.Put(w)
			out := sliceWriter{b.out[:0]}
			w.ResetDict(&out, b.dict)
			if _, err := w.Write(b.in); err != nil {
				return err
			}
			end := w.Flush
			if b.last {
				end = w.Close
			}
			err := end()
			b.out = out.p
			return err
		},
	}
}

// deflaters keeps encoders without a dictionary.
func deflaters(level int) *sync.Pool {
	return deflatePools.get(int64(level), func() any {
		w, _ := flate.NewWriter(nil, level)
		return w
	})
}

// gzipMembers compresses blocks that are members, each with its sizes.
func gzipMembers(c config) packer {
	pool := deflaters(c.level)
	return packer{
		c: c, size: memberInput, keep: memberKeep, holds: deflateHolds,
		pack: func(b *block) error {
			w := pool.Get().(*flate.Writer)
			defer pool.Put(w)
			out := sliceWriter{appendSizedHead(b.out[:memberKeep], c.level, len(b.in))}
			w.Reset(&out)
			if _, err := w.Write(b.in); err != nil {
				return err
			}
			err := w.Close()
			out.p = binary.LittleEndian.AppendUint32(out.p, crc32.ChecksumIEEE(b.in))
			b.out = binary.LittleEndian.AppendUint32(out.p, uint32(len(b.in)))
			recordSize(b.out[memberKeep:])
			return err
		},
	}
}

// memberKeep is how much of a member waits for the next: of output that ends
// because its writer was killed, nobody could tell otherwise that members are
// missing.
const memberKeep = gzipTrailer

type sliceWriter struct{ p []byte }

func (w *sliceWriter) Write(p []byte) (int, error) {
	w.p = append(w.p, p...)
	return len(p), nil
}
