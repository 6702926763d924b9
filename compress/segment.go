package compress

import (
	"encoding/binary"
	"errors"
	"hash/crc32"
	"io"
	"sync"
	"sync/atomic"

	"github.com/weir-go/weir/internal/inflate"
)

// errMemberSize is the cause when the sizes that a member records are not true.
var errMemberSize = errors.New("a member does not end where its header says")

// errCut is the error at the end of the input of a segment between marks.
var errCut = errors.New("the end of a segment")

// segment is a part of the input that can be decompressed ahead of its turn: a
// member that records its sizes, or deflate blocks between two marks.
type segment struct {
	sizes  sizes // of a member; else zero
	chunks []*chunk
	n      int   // bytes of input
	at     int64 // of a member: where it begins in the input
	err    error // of a member: the error at which the input ended, within it

	// taken says that one side has taken the segment. The joining side can take it
	// at any time, to decompress it itself; a worker can take it from the queue;
	// and the splitting side takes it to prevent that it is decompressed before
	// its turn. The latter two close done.
	taken atomic.Bool
	done  chan struct{}

	// These are valid when done is closed.
	out    [][]byte
	size   int    // bytes in out
	sum    uint32 // CRC-32 of out
	used   int    // bytes of input up to the end
	ended  bool   // with the last block of deflate data
	ok     bool   // out is right, if the segment begins where a block does
	failed error  // of a member: the error behind out
	cut    bool   // of a member: failed is err
	credit int64  // of the room
}

// take reports whether the caller is the first to take the segment.
func (s *segment) take() bool { return s.taken.CompareAndSwap(false, true) }

// drop prevents that a worker decompresses the segment before its turn.
func (s *segment) drop() {
	if s.take() {
		close(s.done)
	}
}

// inflater decompresses segments.
type inflater struct {
	src chunkReader
	in  inflate.Input
	d   inflate.Decoder
}

// inflaterHolds is the size of an inflater.
const inflaterHolds = inflate.Holds + inflate.InputHolds + 1<<10

var inflaters = sync.Pool{New: func() any { return new(inflater) }}

// chunkReader reads the bytes of chunks.
type chunkReader struct {
	chunks []*chunk
	at     int   // in the first of them
	left   int   // bytes in all of them
	end    error // the error behind them
}

func (r *chunkReader) Read(p []byte) (n int, err error) {
	for n < len(p) && len(r.chunks) > 0 {
		b := r.chunks[0].b[r.at:]
		k := copy(p[n:], b)
		n += k
		r.at += k
		r.left -= k
		if k == len(b) {
			r.chunks, r.at = r.chunks[1:], 0
		}
	}
	if n == 0 && len(p) > 0 {
		return 0, r.end
	}
	return n, nil
}

// skip skips n bytes.
func (r *chunkReader) skip(n int) {
	for ; n > 0 && len(r.chunks) > 0; r.chunks = r.chunks[1:] {
		k := min(n, len(r.chunks[0].b))
		n -= k
		r.left -= k
		if k < len(r.chunks[0].b) {
			r.at = k
			return
		}
	}
}

// left returns how much of the input was not used.
func (z *inflater) left() int { return z.in.Buffered() + z.src.left }

// inflate decompresses a segment that the caller has taken.
func (s *segment) inflate() {
	z := inflaters.Get().(*inflater)
	z.src = chunkReader{chunks: s.chunks, left: s.n, end: errCut}
	if s.sizes.member > 0 {
		z.src.end = io.EOF
		z.src.skip(s.sizes.head)
	}
	z.in.Reset(&z.src)
	z.d.Reset(&z.in, nil)
	if s.sizes.member > 0 {
		s.failed = s.inflateMember(z)
	} else {
		s.inflateBlocks(z)
	}
	s.used = s.n - z.left()
	if s.cut {
		s.used = s.n
	}
	z.src = chunkReader{}
	inflaters.Put(z)
}

// inflateMember decompresses a member into memory that is there already, as much
// as the member says it needs.
func (s *segment) inflateMember(z *inflater) error {
	out := outBuffer(s.sizes.plain)
	n, err := z.fill(out[:s.sizes.plain])
	out = out[:n]
	s.out, s.size = append(s.out, out), n
	switch {
	case s.err != nil && (err == io.EOF || err == io.ErrUnexpectedEOF):
		s.cut = true
		return s.err
	case err == nil, err == io.ErrUnexpectedEOF:
		return errMemberSize
	case err != io.EOF:
		return err
	case z.left() != gzipTrailer, s.sizes.exact && n != s.sizes.plain:
		return errMemberSize
	}
	end, err := readTrailer(&z.in, gzipTrailer)
	if err != nil {
		return err
	}
	if binary.LittleEndian.Uint32(end) != crc32.ChecksumIEEE(out) || binary.LittleEndian.Uint32(end[4:]) != uint32(n) {
		return ErrChecksum
	}
	return nil
}

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

// inflateBlocks decompresses the blocks between two marks, as if nothing came
// before them. ok is false if they refer to earlier bytes, if they do not end
// exactly where the segment does, unless with the last block, or if they become
// more than outMost.
func (s *segment) inflateBlocks(z *inflater) {
	for {
		b, err := z.d.Next(chunkSize)
		s.sum = crc32.Update(s.sum, crc32.IEEETable, b)
		s.size += len(b)
		for len(b) > 0 {
			i := len(s.out) - 1
			if i < 0 || len(s.out[i]) == memberInput {
				if len(s.out) == outMost/memberInput {
					return
				}
				s.out = append(s.out, outBuffer(memberInput)[:0])
				i++
			}
			n := min(len(b), memberInput-len(s.out[i]))
			s.out[i] = append(s.out[i], b[:n]...)
			b = b[n:]
		}
		switch {
		case err == io.EOF:
			s.ended, s.ok = true, true
			return
		case err == errCut:
			s.ok = z.d.Boundary() && z.in.Buffered() == 0
			return
		case err != nil:
			return
		}
	}
}

// free gives the memory for the output back.
func (s *segment) free(room *room) {
	for _, b := range s.out {
		if cap(b) == memberInput {
			plainBuffers.Put((*[memberInput]byte)(b[:memberInput]))
		}
	}
	room.give(s.credit)
	s.out, s.credit = nil, 0
}

var plainBuffers = sync.Pool{New: func() any { return new([memberInput]byte) }}

// outBuffer returns memory for n bytes of output, at most memberInput. It takes
// outRoom of the room.
func outBuffer(n int) []byte {
	if n > memberInput/2 {
		return plainBuffers.Get().(*[memberInput]byte)[:]
	}
	return make([]byte, n)
}

// outRoom returns how much memory outBuffer returns.
func outRoom(n int) int64 {
	if n > memberInput/2 {
		return memberInput
	}
	return int64(n)
}

// room is the memory for data that is decompressed before its turn.
type room struct {
	mu     sync.Mutex
	freed  sync.Cond
	left   int64
	closed bool
}

func newRoom(n int64) *room {
	r := &room{left: n}
	r.freed.L = &r.mu
	return r
}

// take waits for n bytes. It returns false when the room is closed.
func (r *room) take(n int64) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	for r.left < n && !r.closed {
		r.freed.Wait()
	}
	if r.closed {
		return false
	}
	r.left -= n
	return true
}

func (r *room) give(n int64) {
	r.mu.Lock()
	r.left += n
	r.mu.Unlock()
	r.freed.Broadcast()
}

func (r *room) close() {
	r.mu.Lock()
	r.closed = true
	r.mu.Unlock()
	r.freed.Broadcast()
}
