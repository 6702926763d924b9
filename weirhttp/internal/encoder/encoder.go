// Package encoder compresses answers that may have to be sent before they are
// complete. The stages of package compress cannot flush.
package encoder

import (
	"io"
	"sync"

	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/zstd"
)

// Encoder is a compressor that can flush its pending data. It is for one
// goroutine at a time.
type Encoder interface {
	io.WriteCloser
	Flush() error
	Reset(io.Writer)
}

// Memory is how much memory an Encoder uses, in bytes.
const Memory = 1 << 20

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

// New returns an encoder that writes to w. coding is "gzip" or "zstd". The caller
// must return the encoder with Free.
func New(coding string, w io.Writer) Encoder {
	e := encoders[coding].Get().(Encoder)
	e.Reset(w)
	return e
}

// Free returns an encoder to the pool. coding must be the one it was made with.
func Free(coding string, e Encoder) {
	e.Reset(nil)
	encoders[coding].Put(e)
}
