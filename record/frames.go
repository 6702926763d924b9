package record

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math"

	"github.com/weir-go/weir"
	"github.com/weir-go/weir/internal/grow"
	"github.com/weir-go/weir/internal/units"
)

// ErrFrameTooLarge is the cause when a frame is larger than allowed.
var ErrFrameTooLarge = errors.New("frame too large")

// Framing says how the length of a frame precedes it.
type Framing int

const (
	Frame32     Framing = iota // four bytes, the highest first
	FrameVarint                // an unsigned varint, as in package encoding/binary
)

// DecodeFrames splits a stream of bytes into frames. The length of a frame precedes
// it. A frame of more than most bytes ends the flow with [ErrFrameTooLarge]. If the
// input ends within a frame, the flow ends with [io.ErrUnexpectedEOF]. Both errors
// say at which byte the frame begins, counting from its length, and arrive after the
// frames before it. Each frame has its own memory, which the receiver can keep.
func DecodeFrames(s weir.Stream[byte], framing Framing, most int) weir.Stream[[]byte] {
	st := weir.Stage[byte, []byte]{Name: "decode frames", Holders: -1}
	if framing != Frame32 && framing != FrameVarint {
		st.Err = errFraming(framing)
	}
	if most < 1 {
		st.Err = fmt.Errorf("invalid maximum frame of %s; use 1 or more", units.Count(int64(most), "byte"))
	}
	// A frame that grows, and a batch of small ones.
	st.Holds = grow.Countable(int64(max(most, 0)))*3/2 + 4*segment
	st.Open = func(context.Context) (weir.Transform[byte, []byte], error) {
		return &deframer{framing: framing, most: uint64(most)}, nil
	}
	return weir.Via(s, st)
}

type deframer struct {
	framing Framing
	most    uint64
	head    []byte // the length, as far as it is there
	frame   []byte // the frame, as far as it is there; nil: none has begun
	need    int    // bytes of it that are missing
	size    int    // bytes that it has in all
	begin   int64  // offset of its length
	offset  int64  // of the first byte that was not used
	out     [][]byte
	held    int // memory of the frames in out
}

func (d *deframer) Do(_ context.Context, in []byte, emit func([][]byte) error) error {
	var err error
	for err == nil && (len(in) > 0 || d.frame != nil && d.need == 0) {
		if in, err = d.cut(in); d.held >= segment || len(d.out) == chunk {
			if err := d.hand(emit); err != nil {
				return err
			}
		}
	}
	if eerr := d.hand(emit); eerr != nil {
		return eerr
	}
	return err
}

// hand passes on the frames that are complete.
func (d *deframer) hand(emit func([][]byte) error) error {
	err := emit(d.out)
	clear(d.out)
	d.out, d.held = d.out[:0], 0
	return err
}

// cut takes a byte of a length, or as much of a frame as there is, and returns
// the rest.
func (d *deframer) cut(in []byte) ([]byte, error) {
	if d.frame == nil {
		if len(d.head) == 0 {
			d.begin = d.offset
		}
		d.head = append(d.head, in[0])
		d.offset++
		in = in[1:]
		n, ok := d.length()
		switch {
		case !ok && len(d.head) >= binary.MaxVarintLen64:
			return nil, fmt.Errorf("%w: frame at byte %d has a length of more than 64 bits", ErrFrameTooLarge, d.begin)
		case !ok:
			return in, nil
		case n > d.most:
			return nil, &weir.LimitError{
				Err: ErrFrameTooLarge, Option: "the argument most of DecodeFrames", Max: int64(d.most), Need: int64(min(n, math.MaxInt64)),
				Detail: fmt.Sprintf("frame at byte %d has %s; the maximum is %s", d.begin, units.Count(int64(n), "byte"), units.Exact(int64(d.most))),
			}
		}
		d.head = d.head[:0]
		d.need, d.size = int(n), int(n)
		// A length alone must not cost its memory.
		d.frame = make([]byte, 0, min(d.size, max(min(len(in), segment), 4096)))
	}
	k := min(d.need, len(in))
	d.frame = grow.Append(d.frame, in[:k], d.size)
	d.need -= k
	d.offset += int64(k)
	if d.need == 0 {
		d.out = append(grow.For(d.out, len(d.out)+1, chunk), d.frame)
		d.held += len(d.frame)
		d.frame = nil
	}
	return in[k:], nil
}

// length decodes the head, or reports that it is not complete.
func (d *deframer) length() (uint64, bool) {
	if d.framing == FrameVarint {
		n, size := binary.Uvarint(d.head)
		return n, size > 0
	}
	if len(d.head) < 4 {
		return 0, false
	}
	return uint64(binary.BigEndian.Uint32(d.head)), true
}

func (d *deframer) Flush(context.Context, func([][]byte) error) error {
	if d.frame != nil || len(d.head) > 0 {
		return fmt.Errorf("%w at byte %d, within the frame at byte %d", io.ErrUnexpectedEOF, d.offset, d.begin)
	}
	return nil
}

// EncodeFrames writes each value, preceded by its length.
func EncodeFrames(s weir.Stream[[]byte], framing Framing) weir.Stream[byte] {
	if framing != Frame32 && framing != FrameVarint {
		return weir.Via(s, weir.Stage[[]byte, byte]{Name: "encode frames", Err: errFraming(framing)})
	}
	frame := func(buf, frame []byte) ([]byte, error) {
		if framing == FrameVarint {
			buf = binary.AppendUvarint(buf, uint64(len(frame)))
		} else if uint64(len(frame)) > 1<<32-1 {
			return nil, fmt.Errorf("%w: %d bytes do not fit into four bytes of length", ErrFrameTooLarge, len(frame))
		} else {
			buf = binary.BigEndian.AppendUint32(buf, uint32(len(frame)))
		}
		return append(buf, frame...), nil
	}
	return encode(s, "encode frames", func() func(buf, frame []byte) ([]byte, error) { return frame })
}

func errFraming(f Framing) error {
	return fmt.Errorf("invalid framing %d; use Frame32 or FrameVarint", f)
}
