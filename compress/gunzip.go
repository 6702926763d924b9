package compress

import (
	"bytes"
	"errors"
	"io"
	"sync"

	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/zlib"

	"github.com/weir-go/weir"
)

// Gunzip decompresses a gzip file: all its members, one after the other. What
// is behind the last is ignored, as gzip(1) does: zeros for the sake of tapes,
// and anything else that does not begin like a member; see [OnTrailing]. Options: [MaxOutput], [MaxRatio],
// [OnTrailing].
func Gunzip(opts ...Option) weir.Stage[byte, byte] {
	c := configure("gunzip", opts, "MaxOutput", "MaxRatio", "OnTrailing")
	return decoder(c, inflateHolds, func(in *input) (io.Reader, func(), error) {
		m := &members{in: in, c: c, zr: gunzipPool.Get().(*gzip.Reader)}
		release := func() { gunzipPool.Put(m.zr) }
		if err := m.begin(); err != nil {
			return nil, release, err
		}
		return m, release, nil
	})
}

var gunzipPool = sync.Pool{New: func() any { return new(gzip.Reader) }}

// members reads the members of a gzip file.
type members struct {
	in   *input
	c    config
	zr   *gzip.Reader
	done bool
}

var gzipMagic = []byte{0x1f, 0x8b}

func (m *members) begin() error {
	if err := m.zr.Reset(m.in.Reader); err != nil {
		if err == gzip.ErrHeader {
			err = errors.New("this is not gzip")
		}
		return m.corrupt(err)
	}
	m.zr.Multistream(false)
	return nil
}

func (m *members) Read(p []byte) (int, error) {
	for !m.done {
		n, err := m.zr.Read(p)
		if err == io.EOF {
			if err = m.next(); n == 0 && err == nil {
				continue
			}
			if n > 0 && err == io.EOF {
				err = nil
			}
		} else if err != nil {
			err = m.corrupt(err)
		}
		return n, err
	}
	return 0, io.EOF
}

func (m *members) corrupt(err error) error {
	switch err {
	case io.EOF:
		err = io.ErrUnexpectedEOF
	case gzip.ErrChecksum:
		err = ErrChecksum
	}
	return &CorruptError{Format: "gzip", Offset: m.in.offset(), Err: err}
}

// next looks at what follows a member.
func (m *members) next() error {
	head, err := m.in.Peek(2)
	if bytes.Equal(head, gzipMagic) {
		return m.begin()
	}
	m.done = true
	for {
		if len(head) == 0 {
			if err == nil || err == io.EOF {
				err = io.EOF
			}
			return err
		}
		for i, b := range head {
			if b != 0 {
				return m.trailing(m.in.offset() + int64(i))
			}
		}
		m.in.Discard(len(head))
		if _, err = m.in.Peek(1); err == nil {
			head, err = m.in.Peek(m.in.Buffered())
		} else {
			head = nil
		}
	}
}

// trailing tells of garbage and reads to the end, so that whoever writes it is
// not cut off.
func (m *members) trailing(offset int64) error {
	if m.c.trailing != nil {
		if err := m.c.trailing(offset); err != nil {
			return &CorruptError{Format: "gzip", Offset: offset, Err: err}
		}
	}
	if _, err := io.Copy(io.Discard, m.in); err != nil {
		return err
	}
	return io.EOF
}

// Unzlib decompresses the zlib format (RFC 1950). Options: [MaxOutput],
// [MaxRatio].
func Unzlib(opts ...Option) weir.Stage[byte, byte] {
	c := configure("unzlib", opts, "MaxOutput", "MaxRatio")
	return decoder(c, inflateHolds, func(in *input) (io.Reader, func(), error) {
		zr, err := zlib.NewReader(in.Reader)
		if err != nil {
			if err == zlib.ErrHeader {
				err = errors.New("this is not zlib")
			}
			return nil, nil, err
		}
		return zlibReader{zr}, func() { zr.Close() }, nil
	})
}

// zlibReader says checksum the same way as all others.
type zlibReader struct{ io.Reader }

func (z zlibReader) Read(p []byte) (int, error) {
	n, err := z.Reader.Read(p)
	if err == zlib.ErrChecksum {
		err = ErrChecksum
	}
	return n, err
}
