package compress

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"

	"github.com/klauspost/compress/flate"
	"github.com/klauspost/compress/s2"
	"github.com/klauspost/compress/zstd"

	"github.com/weir-go/weir"
)

// inSize is the buffer a decoder reads its input through.
const inSize = 32 << 10

// input is what a decoder reads. Decoders get the *bufio.Reader itself, for
// which deflate has code of its own. It counts, and remembers what its source
// failed with, which is no fault of the data.
type input struct {
	*bufio.Reader
	src countReader
}

type countReader struct {
	r   io.Reader
	n   int64
	eof bool
	err error
}

func (c *countReader) Read(p []byte) (int, error) {
	n, err := c.r.Read(p)
	c.n += int64(n)
	if err == io.EOF {
		c.eof = true
	} else if err != nil {
		c.err = err
	}
	return n, err
}

func newInput(r io.Reader) *input {
	in := &input{src: countReader{r: r}}
	in.Reader = bufio.NewReaderSize(&in.src, inSize)
	return in
}

// offset is how much of the input was used.
func (in *input) offset() int64 { return in.src.n - int64(in.Buffered()) }

// decoder is a stage that decompresses. start returns what delivers the
// decompressed bytes, and what releases it.
func decoder(c config, holds int64, start func(in *input) (io.Reader, func(), error)) weir.Stage[byte, byte] {
	return weir.Stage[byte, byte]{
		Name:  c.format,
		Err:   c.err,
		Holds: holds + inSize,
		Run: func(_ context.Context, r weir.Reader[byte], w weir.Writer[byte]) error {
			in := newInput(r)
			var zr io.Reader
			_, err := in.Peek(1)
			if err == io.EOF {
				if c.format == "uns2" {
					return nil
				}
				err = io.ErrUnexpectedEOF // no other format is ever empty
			}
			if err == nil {
				var release func()
				zr, release, err = start(in)
				if release != nil {
					defer release()
				}
			}
			if err == nil {
				g := &guard{r: zr, in: in, c: c, format: c.format}
				_, err = w.(io.ReaderFrom).ReadFrom(g)
				if g.err == nil {
					return err // all is well, or out has failed
				}
				err = g.err
			}
			return diagnose(c.format, in, err)
		},
	}
}

// diagnose tells what is wrong with the data from what is wrong elsewhere.
func diagnose(format string, in *input, err error) error {
	var ce *CorruptError
	switch {
	case in.src.err != nil:
		return in.src.err
	case errors.Is(err, ErrTooLarge) || errors.As(err, &ce):
		return err
	case errors.Is(err, io.EOF), errors.Is(err, s2.ErrCorrupt) && in.src.eof && in.Buffered() == 0:
		err = io.ErrUnexpectedEOF // s2 says corrupt for both
	case errors.Is(err, zstd.ErrMagicMismatch):
		err = errors.New("this is not " + format)
	}
	return &CorruptError{Format: format, Offset: in.offset(), Err: err}
}

// guard stops what is too large, and keeps the decoder's error apart from that
// of the writer.
type guard struct {
	r      io.Reader
	in     *input
	c      config
	format string
	n      int64
	err    error
}

const freeRatio = 1 << 20

func (g *guard) Read(p []byte) (int, error) {
	left := int64(len(p))
	if g.c.maxOut >= 0 {
		left = min(left, g.c.maxOut-g.n)
	}
	if g.c.maxRatio > 0 {
		left = min(left, freeRatio+int64(g.c.maxRatio*float64(g.in.src.n))-g.n)
	}
	if left <= 0 {
		// Is there more at all?
		var one [1]byte
		n, err := io.ReadFull(g.r, one[:])
		if n == 0 {
			return 0, g.note(err)
		}
		return 0, g.note(g.tooLarge())
	}
	n, err := g.r.Read(p[:left])
	g.n += int64(n)
	return n, g.note(err)
}

func (g *guard) note(err error) error {
	if err != nil && err != io.EOF {
		g.err = err
	}
	return err
}

func (g *guard) tooLarge() error {
	return fmt.Errorf("%w: %s of it from %s of %s data", ErrTooLarge,
		weir.FormatBytes(g.n), weir.FormatBytes(g.in.offset()), g.format)
}

// Inflate decompresses bare deflate data (RFC 1951). Options: [MaxOutput],
// [MaxRatio].
func Inflate(opts ...Option) weir.Stage[byte, byte] {
	c := configure("inflate", opts, "MaxOutput", "MaxRatio")
	return decoder(c, inflateHolds, func(in *input) (io.Reader, func(), error) {
		zr := flate.NewReader(in.Reader)
		return zr, func() { zr.Close() }, nil
	})
}

// inflateHolds is the window and the tables of an inflating decoder.
const inflateHolds = 64 << 10

// Unzstd decompresses zstd frames (RFC 8878), one after the other, skippable
// ones included. Options: [MaxOutput], [MaxRatio], [MaxWindow].
func Unzstd(opts ...Option) weir.Stage[byte, byte] {
	c := configure("unzstd", opts, "MaxOutput", "MaxRatio", "MaxWindow")
	return decoder(c, unzstdHolds, func(in *input) (io.Reader, func(), error) {
		// One goroutine: this one, which alone may read in.
		zr, err := zstd.NewReader(in.Reader, zstd.WithDecoderConcurrency(1), zstd.WithDecoderLowmem(true),
			zstd.WithDecoderMaxWindow(uint64(c.window)))
		if err != nil {
			return nil, nil, err
		}
		return zr, zr.Close, nil
	})
}

// unzstdHolds is what frames of the usual levels need: a window of 8 MiB and
// its history. Only a frame that asks for more holds more, up to MaxWindow.
const unzstdHolds = 20 << 20

// S2 compresses to the s2 format, an extension of snappy that is faster than
// anything else here. Options: [Level] 1 to 3, default 1.
func S2(opts ...Option) weir.Stage[byte, byte] {
	c := configure("s2", opts, "Level")
	c.levels(1, 3, 1)
	extra := map[int][]s2.WriterOption{2: {s2.WriterBetterCompression()}, 3: {s2.WriterBestCompression()}}[c.level]
	return serial(c, s2Pools.get(c.level, func() any {
		return s2.NewWriter(nil, append(extra, s2.WriterConcurrency(1))...)
	}), 4<<20)
}

var s2Pools pools

// UnS2 decompresses s2 and snappy streams. Options: [MaxOutput], [MaxRatio].
func UnS2(opts ...Option) weir.Stage[byte, byte] {
	c := configure("uns2", opts, "MaxOutput", "MaxRatio")
	return decoder(c, 6<<20, func(in *input) (io.Reader, func(), error) {
		return s2.NewReader(in.Reader), nil, nil
	})
}
