package weirhttp

import (
	"io"
	"sync"

	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/zstd"
)

// encoder compresses an answer that may have to leave before it is complete,
// which the stages of package compress do not do.
type encoder interface {
	io.WriteCloser
	Flush() error
	Reset(io.Writer)
}

// encoderHolds is the memory of an encoder, in bytes.
const encoderHolds = 1 << 20

var encoders = map[string]*sync.Pool{
	"gzip": {New: func() any {
		e, err := gzip.NewWriterLevel(io.Discard, gzip.BestSpeed)
		if err != nil {
			panic(err) // the level is a constant
		}
		return e
	}},
	"zstd": {New: func() any {
		e, err := zstd.NewWriter(nil, zstd.WithEncoderConcurrency(1), zstd.WithLowerEncoderMem(true),
			zstd.WithWindowSize(256<<10), zstd.WithEncoderLevel(zstd.SpeedFastest))
		if err != nil {
			panic(err) // the options are constants
		}
		return e
	}},
}

// newEncoder returns an encoder that writes to w.
func newEncoder(coding string, w io.Writer) encoder {
	e := encoders[coding].Get().(encoder)
	e.Reset(w)
	return e
}

// freeEncoder keeps an encoder for another answer.
func freeEncoder(coding string, e encoder) {
	e.Reset(nil)
	encoders[coding].Put(e)
}
