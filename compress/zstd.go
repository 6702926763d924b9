package compress

import (
	"github.com/klauspost/compress/zstd"

	"github.com/weir-go/weir"
)

// Zstd compresses to the zstd format (RFC 8878). With several workers the
// output is several frames, which every decoder reads as one. Options: [Level]
// 1 to 22, default 3, of which the encoder knows four steps; [Workers].
func Zstd(opts ...Option) weir.Stage[byte, byte] {
	c := configure("zstd", opts, "Level", "Workers")
	c.levels(1, 22, 3)
	level := zstd.EncoderLevelFromZstd(c.level)
	holds := zstdHolds[level]
	newEncoder := func() any {
		// One goroutine: blocks are what runs at the same time. The options
		// are constant, so there is no error.
		e, _ := zstd.NewWriter(nil, zstd.WithEncoderLevel(level), zstd.WithEncoderConcurrency(1),
			zstd.WithLowerEncoderMem(true), zstd.WithZeroFrames(true))
		return e
	}
	pool := zstdPools.get(int(level), newEncoder)
	if c.workers == 1 {
		return serial(c, pool, holds)
	}
	return packer{
		c: c, size: zstdBlock, holds: holds,
		pack: func(b *block) error {
			e := pool.Get().(*zstd.Encoder)
			defer pool.Put(e)
			b.out = e.EncodeAll(b.in, b.out[:0])
			return nil
		},
	}.parallel()
}

var zstdPools pools

// zstdBlock is the input of one frame: large enough that cutting costs about a
// percent.
const zstdBlock = 2 << 20

// zstdHolds is what an encoder keeps at each level: its window twice, and its
// hash tables.
var zstdHolds = map[zstd.EncoderLevel]int64{
	zstd.SpeedFastest:           12 << 20,
	zstd.SpeedDefault:           22 << 20,
	zstd.SpeedBetterCompression: 40 << 20,
	zstd.SpeedBestCompression:   90 << 20,
}
