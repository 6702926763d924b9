package compress

import (
	"bytes"
	"encoding/binary"
	"errors"
	"hash/crc32"
	"io"
	"sync"

	"github.com/weir-go/weir/internal/inflate"
)

// errMemberSize is the cause when the sizes that a member records are not true.
var errMemberSize = errors.New("a member does not end where its header says")

// inflater inflates what is in memory.
type inflater struct {
	src bytes.Reader
	in  inflate.Input
	d   inflate.Decoder
}

// inflaterHolds is the size of an inflater.
const inflaterHolds = inflate.Holds + inflate.InputHolds

var inflaters = sync.Pool{New: func() any { return new(inflater) }}

// inflatePiece fills in the output of a piece. An error becomes that of the piece,
// since what went before it is to be handed on first.
func inflatePiece(p *piece) (*piece, error) {
	if len(p.in) == 0 {
		return p, nil
	}
	z := inflaters.Get().(*inflater)
	start := p.at - int64(len(p.in))
	if err := z.inflate(p); err != nil {
		used := len(p.in) - z.left()
		p.err = &CorruptError{Format: gunzipFormat.name, Offset: start + int64(used), Err: err}
	}
	z.src.Reset(nil)
	inflaters.Put(z)
	return p, nil
}

func (z *inflater) inflate(p *piece) error {
	cutOff := p.err != nil
	z.src.Reset(p.in[min(p.sizes.head, len(p.in)):])
	z.in.Reset(&z.src)
	z.d.Reset(&z.in, nil)
	if cap(p.out) < p.sizes.plain {
		p.out = make([]byte, p.sizes.plain)
	}
	n, err := z.fill(p.out[:p.sizes.plain])
	p.out = p.out[:n]
	switch {
	case cutOff && (err == io.EOF || err == io.ErrUnexpectedEOF):
		return nil // the piece has its error
	case err == nil, err == io.ErrUnexpectedEOF:
		return errMemberSize
	case err != io.EOF:
		return err
	case z.left() != gzipTrailer, p.sizes.exact && n != p.sizes.plain:
		return errMemberSize
	}
	end := p.in[len(p.in)-gzipTrailer:]
	if binary.LittleEndian.Uint32(end) != crc32.ChecksumIEEE(p.out) || binary.LittleEndian.Uint32(end[4:]) != uint32(n) {
		return ErrChecksum
	}
	return nil
}

// left is how much of the input was not used.
func (z *inflater) left() int { return z.in.Buffered() + z.src.Len() }

// fill reads until the data ends, which is io.EOF, or does not fit.
func (z *inflater) fill(out []byte) (n int, err error) {
	for err == nil && n < len(out) {
		var k int
		k, err = z.d.Read(out[n:])
		n += k
	}
	if err == nil {
		var more [1]byte
		_, err = io.ReadFull(&z.d, more[:])
	}
	return n, err
}
