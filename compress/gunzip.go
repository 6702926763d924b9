package compress

import (
	"bytes"
	"io"

	"github.com/weir-go/weir"
	"github.com/weir-go/weir/internal/inflate"
)

// inflateHolds is what an inflating codec holds beside its input.
const inflateHolds = inflate.Holds

var (
	gunzipFormat = &format{
		name: "gzip", holds: inflateHolds, marksEnd: true,
		decoders: decoders(func() codec { return new(members) }),
	}
	unzlibFormat = &format{
		name: "zlib", holds: inflateHolds, marksEnd: true,
		decoders: decoders(func() codec { return new(zlibCodec) }),
	}
	inflateFormat = &format{
		name: "deflate", holds: inflateHolds, marksEnd: true,
		decoders: decoders(func() codec { return new(flateCodec) }),
	}
)

// Gunzip decompresses a gzip file: all its members, one after the other. It ignores
// zeros after the last member. It reports other data there as [ErrTrailing], after
// it has delivered all members; see [OnTrailing].
//
// Two kinds of files are decompressed on all cores. The first kind has independent
// blocks that end at full-flush points, as [Gzip] and pigz -i write them. Output and
// errors are the same as on one core. The second kind has members that record their
// sizes, as [Members] and bgzip(1) write them; a wrong size is an error.
//
// Gunzip delivers everything that it can decompress before it returns an error, and
// before it waits for more input. Members that record their sizes are delivered as a
// whole. Options: [MaxOutput], [MaxRatio], [OnTrailing], and [Workers]; one worker
// holds much less memory.
func Gunzip(opts ...Option) weir.Stage[byte, byte] {
	c := configure("gunzip", opts, "MaxOutput", "MaxRatio", "OnTrailing", "Workers")
	if c.workers == 1 {
		return gunzipFormat.unpacker(c)
	}
	return splitter(c)
}

// Unzlib decompresses the zlib format (RFC 1950). It treats data after the end as
// [Gunzip] does. Options: [MaxOutput], [MaxRatio], [OnTrailing].
func Unzlib(opts ...Option) weir.Stage[byte, byte] {
	return unzlibFormat.unpacker(configure("unzlib", opts, "MaxOutput", "MaxRatio", "OnTrailing"))
}

// Inflate decompresses bare deflate data (RFC 1951). It treats data after the end as
// [Gunzip] does. Options: [MaxOutput], [MaxRatio], [OnTrailing].
func Inflate(opts ...Option) weir.Stage[byte, byte] {
	return inflateFormat.unpacker(configure("inflate", opts, "MaxOutput", "MaxRatio", "OnTrailing"))
}

// members reads the members of a gzip file.
type members struct {
	gzipReader
	ended bool // the member that was read last has ended
}

var gzipMagic = []byte{0x1f, 0x8b}

func (m *members) Reset(in *input) error {
	m.ended = false
	return m.begin(&in.Input)
}

// Read looks for another member only when the caller asks for more, so
// decompressed data does not wait for it.
func (m *members) Read(p []byte) (int, error) {
	for {
		if m.ended {
			if err := m.next(); err != nil {
				return 0, err
			}
		}
		n, err := m.gzipReader.Read(p)
		if err == io.EOF {
			m.ended, err = true, nil
			if n == 0 {
				continue
			}
		}
		return n, err
	}
}

// next begins another member, or returns io.EOF if there is none.
func (m *members) next() error {
	head, err := m.in.Peek(len(gzipMagic))
	switch {
	case len(head) > 0 && bytes.HasPrefix(gzipMagic, head):
		m.ended = false
		return early(m.begin(m.in))
	case err != nil && err != io.EOF:
		return err
	}
	return io.EOF
}

// early is for an end where there must be more.
func early(err error) error {
	if err == io.EOF {
		return io.ErrUnexpectedEOF
	}
	return err
}
