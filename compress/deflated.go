package compress

import (
	"bytes"
	"encoding/binary"
	"errors"
	"hash"
	"hash/adler32"
	"hash/crc32"
	"io"

	"github.com/weir-go/weir/internal/inflate"
)

var (
	errMagic      = errors.New("another format")
	errMethod     = errors.New("its header names another method than deflate")
	errHeadSum    = errors.New("the checksum of its header does not match")
	errFlags      = errors.New("its header has flags that RFC 1952 reserves")
	errDictionary = errors.New("a dictionary is required")
)

// gzipReader reads one member of a gzip file.
type gzipReader struct {
	in   *inflate.Input
	d    inflate.Decoder
	sum  uint32
	size uint32
	end  error // the error, or io.EOF, at the end of the member
}

const (
	flagHeadSum  = 1 << 1
	flagExtra    = 1 << 2
	flagName     = 1 << 3
	flagComment  = 1 << 4
	flagReserved = 7 << 5
)

// begin reads the header of a member. At the end of the input it returns io.EOF.
func (z *gzipReader) begin(in *inflate.Input) error {
	z.in, z.sum, z.size, z.end = in, 0, 0, nil
	head, err := in.Peek(gzipFixed)
	if len(head) < gzipFixed {
		in.Discard(len(head))
		switch known := min(len(head), len(gzipMagic)); {
		case !bytes.Equal(head[:known], gzipMagic[:known]):
			return errMagic
		case len(head) > 0:
			err = early(err)
		}
		return err
	}
	sum := crc32.ChecksumIEEE(head)
	flags := head[3]
	isGzip, isDeflate := bytes.HasPrefix(head, gzipMagic), head[2] == 8
	in.Discard(gzipFixed)
	switch {
	case !isGzip:
		return errMagic
	case !isDeflate:
		return errMethod
	case flags&flagReserved != 0:
		// RFC 1952, section 2.3.1.2, demands this error, because a field of unknown
		// length can follow. Package compress/gzip ignores these flags.
		return errFlags
	}
	if flags&flagExtra != 0 {
		size, err := z.headBytes(2, &sum)
		if err != nil {
			return err
		}
		for left := int(binary.LittleEndian.Uint16(size)); left > 0; {
			n := min(left, 1<<10)
			if _, err := z.headBytes(n, &sum); err != nil {
				return err
			}
			left -= n
		}
	}
	for _, flag := range []byte{flagName, flagComment} {
		for text := flags&flag != 0; text; {
			c, err := z.headBytes(1, &sum)
			if err != nil {
				return err
			}
			text = c[0] != 0
		}
	}
	if flags&flagHeadSum != 0 {
		want := uint16(sum)
		got, err := z.headBytes(2, &sum)
		if err != nil {
			return err
		}
		if binary.LittleEndian.Uint16(got) != want {
			return errHeadSum
		}
	}
	z.d.Reset(in, nil)
	return nil
}

// headBytes returns the next bytes of a header, and adds them to its checksum.
func (z *gzipReader) headBytes(n int, sum *uint32) ([]byte, error) {
	b, err := z.in.Peek(n)
	z.in.Discard(len(b))
	if len(b) < n {
		return nil, early(err)
	}
	*sum = crc32.Update(*sum, crc32.IEEETable, b)
	return b, nil
}

// Read returns io.EOF at the end of the member, if its checksum is right.
func (z *gzipReader) Read(p []byte) (int, error) {
	if z.end != nil {
		return 0, z.end
	}
	n, err := z.d.Read(p)
	z.sum = crc32.Update(z.sum, crc32.IEEETable, p[:n])
	z.size += uint32(n)
	if err == io.EOF {
		z.end = z.trailer()
		err = z.end
	}
	return n, err
}

// trailer returns io.EOF if the trailer is right.
func (z *gzipReader) trailer() error {
	b, err := readTrailer(z.in, gzipTrailer)
	if err != nil {
		return err
	}
	if binary.LittleEndian.Uint32(b) != z.sum || binary.LittleEndian.Uint32(b[4:]) != z.size {
		return ErrChecksum
	}
	return io.EOF
}

// readTrailer returns the n bytes behind deflate data.
func readTrailer(in *inflate.Input, n int) ([]byte, error) {
	b, err := in.Peek(n)
	in.Discard(len(b))
	if len(b) < n {
		return nil, early(err)
	}
	return b, nil
}

// zlibCodec reads the zlib format.
type zlibCodec struct {
	in  *inflate.Input
	d   inflate.Decoder
	sum hash.Hash32
	end error // the error, or io.EOF, at the end of the data
}

func (z *zlibCodec) Reset(in *input) error {
	z.in, z.end = &in.Input, nil
	head, err := z.in.Peek(2)
	z.in.Discard(len(head))
	// Deflate, a window of at most 32 KiB, and the check bits.
	switch {
	case len(head) > 0 && (head[0]&15 != 8 || head[0]>>4 > 7):
		return errMagic
	case len(head) < 2:
		return early(err)
	case binary.BigEndian.Uint16(head)%31 != 0:
		return errMagic
	}
	if head[1]&(1<<5) != 0 {
		return errDictionary
	}
	if z.sum == nil {
		z.sum = adler32.New()
	}
	z.sum.Reset()
	z.d.Reset(z.in, nil)
	return nil
}

// Read returns io.EOF at the end of the data, if its checksum is right.
func (z *zlibCodec) Read(p []byte) (int, error) {
	if z.end != nil {
		return 0, z.end
	}
	n, err := z.d.Read(p)
	z.sum.Write(p[:n])
	if err == io.EOF {
		z.end = z.trailer()
		err = z.end
	}
	return n, err
}

// trailer returns io.EOF if the trailer is right.
func (z *zlibCodec) trailer() error {
	b, err := readTrailer(z.in, 4)
	if err != nil {
		return err
	}
	if binary.BigEndian.Uint32(b) != z.sum.Sum32() {
		return ErrChecksum
	}
	return io.EOF
}

// flateCodec reads bare deflate data.
type flateCodec struct{ inflate.Decoder }

func (f *flateCodec) Reset(in *input) error {
	f.Decoder.Reset(&in.Input, nil)
	return nil
}
