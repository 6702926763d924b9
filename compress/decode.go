package compress

import (
	"context"
	"errors"
	"fmt"
	"io"
	"sync"
	"time"

	"github.com/klauspost/compress/s2"
	"github.com/klauspost/compress/zstd"

	"github.com/weir-go/weir"
)

// format has the properties that the decoders of one format share.
type format struct {
	name  string // of the data: "gzip"
	holds int64  // bytes a codec holds at most

	mayBeEmpty bool // no bytes at all are valid data
	marksEnd   bool // the data says where it ends, so something may follow
	channels   bool // codecs have channels

	// decoders keeps decoders between flows.
	decoders *sync.Pool
}

// codec decompresses an input. Reset is called first, with an input of at least
// one byte.
type codec interface {
	io.Reader
	Reset(*input) error
}

// decoder is a codec with the input it reads.
type decoder struct {
	codec
	in *input
}

func decoders(make func() codec) *sync.Pool {
	return &sync.Pool{New: func() any { return &decoder{make(), newInput()} }}
}

// unpacker returns a stage that decompresses.
func (f *format) unpacker(c config) weir.Stage[byte, byte] {
	return weir.Stage[byte, byte]{
		Name:  c.stage,
		Err:   c.err,
		Holds: f.holds + inSize,
		Run: func(_ context.Context, r weir.Reader[byte], w weir.Writer[byte]) error {
			pool := f.decoders
			if f.channels && inBubble() {
				pool = &sync.Pool{New: pool.New}
			}
			d := pool.Get().(*decoder)
			d.in.reset(r)
			err := f.unpack(c, d, w)
			d.in.reset(nil)
			pool.Put(d) // not after a panic
			return err
		},
	}
}

// inBubble reports whether this is a test within a bubble of testing/synctest,
// whose channels nobody outside may use. Its clock begins in the year 2000.
func inBubble() bool { return time.Now().Year() == 2000 }

func (f *format) unpack(c config, d *decoder, w io.Writer) error {
	_, err := d.in.Peek(1)
	if err == io.EOF && f.mayBeEmpty {
		return nil
	}
	if err == nil {
		err = d.Reset(d.in)
	}
	if err != nil {
		return f.diagnose(c, d.in, err)
	}
	g := &guard{r: d.codec, in: d.in, c: c, format: f.name}
	if _, err := w.(io.ReaderFrom).ReadFrom(g); g.err == nil && err != nil {
		return err // of w
	}
	if g.err != nil {
		return f.diagnose(c, d.in, g.err)
	}
	if f.marksEnd && g.ended {
		return f.trailing(c, d.in)
	}
	return nil
}

// trailing looks at the bytes behind the end of the data. Zeros are padding, as
// tapes need it. Anything else is not read but reported: if it is more of the
// same data with damage at its beginning, an end without an error would hide
// that.
func (f *format) trailing(c config, in *input) error {
	more, err := in.skipZeros()
	if err != nil {
		return f.diagnose(c, in, err)
	}
	if more {
		return f.tell(c, in.offset())
	}
	return nil
}

// tell reports that other data begins at offset.
func (f *format) tell(c config, offset int64) error {
	if err := c.trailing(offset); err != nil {
		return &CorruptError{Format: f.name, Offset: offset, Err: err}
	}
	return nil
}

// diagnose turns err into the error to report: one for damaged data, for an
// exceeded limit, or of the source.
func (f *format) diagnose(c config, in *input, err error) error {
	if in.src.err != nil {
		return in.src.err
	}
	if limit := (*weir.LimitError)(nil); errors.As(err, &limit) {
		return limit
	}
	switch {
	case err == io.EOF, err == s2.ErrCorrupt && in.exhausted():
		err = io.ErrUnexpectedEOF // s2 says corrupt for both
	case err == zstd.ErrCRCMismatch, err == s2.ErrCRC:
		err = ErrChecksum
	case errors.Is(err, errMagic):
		err = ErrFormat
	case err == zstd.ErrMagicMismatch:
		err = fmt.Errorf("no %s header", f.name)
	}
	return &CorruptError{Format: f.name, Offset: in.offset(), Err: err}
}
