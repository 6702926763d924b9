package compress

import (
	"errors"
	"fmt"
	"math"

	"github.com/klauspost/compress/zstd"

	"github.com/weir-go/weir"
)

// Zstd compresses to the zstd format (RFC 8878). With several workers the
// output is several frames, which every decoder reads as one. Options: [Level]
// 1 to 22, default 3 (the encoder has only four steps); [Workers]; [Resume], with
// which the output is several frames for any number of workers.
func Zstd(opts ...Option) weir.Stage[byte, byte] {
	c := configure("zstd", opts, "Level", "Workers", "Resume")
	c.levels(1, 22, 3)
	level := zstd.EncoderLevelFromZstd(c.level)
	if c.workers == 1 && c.resume == nil {
		return serial(c, zstdPools.get(int64(level), func() any {
			return newZstd(zstd.WithEncoderLevel(level))
		}), zstdStreams[level])
	}
	pool := zstdBlockPools.get(int64(level), func() any {
		// A frame has no use for a window that is larger than itself.
		return newZstd(zstd.WithEncoderLevel(level), zstd.WithWindowSize(zstdBlock), zstd.WithLowerEncoderMem(true))
	})
	return packer{
		c: c, size: zstdBlock, keep: zstdKeep, holds: zstdFrames[level],
		pack: func(b *block) error {
			e := pool.Get().(*zstd.Encoder)
			defer pool.Put(e)
			out := sliceWriter{b.out[:zstdKeep]}
			e.ResetContentSize(&out, int64(len(b.in)))
			if _, err := e.Write(b.in); err != nil {
				return err
			}
			err := e.Close()
			b.out = out.p
			return err
		},
	}.parallel()
}

type sliceWriter struct{ p []byte }

func (w *sliceWriter) Write(p []byte) (int, error) {
	w.p = append(w.p, p...)
	return len(p), nil
}

// newZstd returns an encoder that works in the goroutine that calls it.
func newZstd(options ...zstd.EOption) *zstd.Encoder {
	options = append(options, zstd.WithEncoderConcurrency(1), zstd.WithZeroFrames(true))
	e, _ := zstd.NewWriter(nil, options...) // constants: no error
	return e
}

var zstdPools, zstdBlockPools, unzstdPools pools

const (
	// zstdBlock is the input of one frame. Frames of half the size would cost 1 to
	// 4% in size, and some time. Frames of twice the size would save half of that
	// again.
	zstdBlock = 2 << 20

	// zstdKeep is how many bytes of a frame wait for the next one. If the writer
	// is killed, the output then ends within a frame, so a reader notices that
	// frames are missing. Every frame is longer.
	zstdKeep = 4
)

// The memory of an encoder at each level: its window, which for streams is there
// twice so that it need not be moved for each block, and its tables.
var (
	zstdStreams = map[zstd.EncoderLevel]int64{
		zstd.SpeedFastest:           10 << 20,
		zstd.SpeedDefault:           19 << 20,
		zstd.SpeedBetterCompression: 22 << 20,
		zstd.SpeedBestCompression:   53 << 20,
	}
	zstdFrames = map[zstd.EncoderLevel]int64{
		zstd.SpeedFastest:           3 << 20,
		zstd.SpeedDefault:           4 << 20,
		zstd.SpeedBetterCompression: 7 << 20,
		zstd.SpeedBestCompression:   37 << 20,
	}
)

// Unzstd decompresses zstd frames (RFC 8878), one after the other, including
// skippable ones. It treats data after the last frame as [Gunzip] does. The format
// does not mark the last frame: a file that was cut exactly between two frames looks
// complete. Options: [MaxOutput], [MaxRatio], [MaxWindow], [OnTrailing].
func Unzstd(opts ...Option) weir.Stage[byte, byte] {
	c := configure("unzstd", opts, "MaxOutput", "MaxRatio", "MaxWindow", "OnTrailing")
	f := &format{
		name: "zstd", holds: c.window + unzstdHolds, channels: true, marksEnd: true,
		decoders: unzstdPools.get(c.window, decoders(func() codec {
			// One goroutine: this one, which alone may read the input.
			d, _ := zstd.NewReader(nil, zstd.WithDecoderConcurrency(1), zstd.WithDecoderLowmem(true),
				zstd.WithDecoderMaxWindow(uint64(c.window))) // the window was checked
			return &zstdCodec{Decoder: d, window: c.window}
		}).New),
	}
	return f.unpacker(c)
}

// unzstdHolds is the memory of a decoder without its window: a few blocks of
// 128 KiB, one of them once more to be checked, and tables.
const unzstdHolds = 1 << 20

type zstdCodec struct {
	*zstd.Decoder
	frames frameReader
	window int64 // the largest that is allowed
}

func (z *zstdCodec) Reset(in *input) error {
	z.frames.reset(in)
	return z.limit(z.Decoder.Reset(&z.frames))
}

func (z *zstdCodec) Read(p []byte) (int, error) {
	n, err := z.Decoder.Read(p)
	return n, z.limit(err)
}

// limit distinguishes a window that is too large from damage.
func (z *zstdCodec) limit(err error) error {
	if !errors.Is(err, zstd.ErrWindowSizeExceeded) && !errors.Is(err, zstd.ErrDecoderSizeExceeded) {
		return err
	}
	e := &weir.LimitError{Err: ErrWindow, Option: "MaxWindow", Max: z.window, Need: int64(min(z.frames.window, math.MaxInt64))}
	e.Detail = fmt.Sprintf("a frame needs %s; the limit is %s", weir.FormatBytes(e.Need), weir.FormatBytes(e.Max))
	if e.Need > mostWindow {
		e.Option = ""
	}
	return e
}
