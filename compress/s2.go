package compress

import (
	"bytes"

	"github.com/klauspost/compress/s2"

	"github.com/weir-go/weir"
)

// S2 compresses to the s2 format, an extension of snappy that is faster than
// anything else here. Options: [Level] 1 to 3, default 1.
func S2(opts ...Option) weir.Stage[byte, byte] {
	c := configure("s2", opts, "Level")
	c.levels(1, 3, 1)
	options := []s2.WriterOption{s2.WriterConcurrency(1)}
	switch c.level {
	case 2:
		options = append(options, s2.WriterBetterCompression())
	case 3:
		options = append(options, s2.WriterBestCompression())
	}
	return serial(c, s2Pools.get(int64(c.level), func() any { return s2.NewWriter(nil, options...) }), s2Holds)
}

const (
	s2Holds   = 5 << 19  // a block of 1 MiB, and tables
	unS2Holds = 17 << 19 // two blocks of 4 MiB, the largest there are
)

var s2Pools pools

var unS2Format = &format{
	name: "s2", holds: unS2Holds, mayBeEmpty: true,
	decoders: decoders(func() codec { return &s2Codec{s2.NewReader(nil)} }),
}

// UnS2 decompresses s2 and snappy streams. The format does not mark its end: a
// stream that was cut between two blocks looks complete, and an empty one is
// valid. Options: [MaxOutput], [MaxRatio].
func UnS2(opts ...Option) weir.Stage[byte, byte] {
	return unS2Format.unpacker(configure("uns2", opts, "MaxOutput", "MaxRatio"))
}

type s2Codec struct{ *s2.Reader }

// s2Magic begins the chunk that every s2 and snappy stream begins with.
var s2Magic = []byte{0xff, 6, 0, 0}

func (s *s2Codec) Reset(in *input) error {
	if head, _ := in.Peek(len(s2Magic)); !bytes.HasPrefix(s2Magic, head) {
		return errMagic
	}
	s.Reader.Reset(in)
	return nil
}
