package compress

import (
	"bufio"
	"context"
	"io"
	"sync"

	"github.com/weir-go/weir"
)

// encoder is a codec's writer. It must write from the goroutine that calls it.
type encoder interface {
	io.WriteCloser
	Reset(io.Writer)
}

// outSize is how much compressed data is gathered before it is passed on:
// deflate writes about 240 bytes at a time.
const outSize = 32 << 10

// serial is a stage that compresses in one goroutine. The pool keeps encoders
// between flows.
func serial(c config, pool *sync.Pool, holds int64) weir.Stage[byte, byte] {
	return weir.Stage[byte, byte]{
		Name:  c.stage,
		Err:   c.err,
		Holds: holds + outSize,
		Run: func(_ context.Context, in weir.Reader[byte], out weir.Writer[byte]) error {
			enc := pool.Get().(encoder)
			buf := outBuffers.Get().(*bufio.Writer)
			defer func() {
				enc.Reset(io.Discard)
				buf.Reset(nil)
				pool.Put(enc)
				outBuffers.Put(buf)
			}()
			buf.Reset(out)
			enc.Reset(buf)
			if _, err := in.(io.WriterTo).WriteTo(enc); err != nil {
				return err
			}
			if err := enc.Close(); err != nil {
				return err
			}
			return buf.Flush()
		},
	}
}

var outBuffers = sync.Pool{New: func() any { return bufio.NewWriterSize(nil, outSize) }}

// pools holds one pool of encoders for each level, or other setting, of a codec.
type pools struct {
	mu sync.Mutex
	m  map[int64]*sync.Pool
}

func (p *pools) get(key int64, make func() any) *sync.Pool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.m == nil {
		p.m = map[int64]*sync.Pool{}
	}
	if p.m[key] == nil {
		p.m[key] = &sync.Pool{New: make}
	}
	return p.m[key]
}
