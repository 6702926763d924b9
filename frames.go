package weir

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
)

// ErrFrameTooLarge is the cause when a frame is larger than allowed.
var ErrFrameTooLarge = errors.New("weir: frame is too large")

// Framing says how the length of a frame precedes it.
type Framing int

const (
	Frame32     Framing = iota // four bytes, the highest first
	FrameVarint                // an unsigned varint, as in package encoding/binary
)

// DecodeFrames cuts a stream of bytes into frames that are preceded by their
// length. A frame of more than most bytes ends the flow with
// [ErrFrameTooLarge]; an end within a frame is an [io.ErrUnexpectedEOF]. Each
// frame is memory of its own, which the receiver may keep.
func DecodeFrames(s Stream[byte], framing Framing, most int) Stream[[]byte] {
	st := Stage[byte, []byte]{Name: "decode frames", Holds: int64(max(most, 0)) + defaultBytes}
	if framing != Frame32 && framing != FrameVarint {
		st.Err = fmt.Errorf("framing %d: use Frame32 or FrameVarint", framing)
	}
	if most < 1 {
		st.Err = fmt.Errorf("a maximum frame of %d bytes: use 1 or more", most)
	}
	st.Open = func(context.Context) (Transform[byte, []byte], error) {
		return &deframer{framing: framing, most: uint64(most)}, nil
	}
	return Via(s, st)
}

type deframer struct {
	framing Framing
	most    uint64
	head    []byte // the length, as far as it is there
	frame   []byte // the frame, as far as it is there; nil: none has begun
	need    int    // bytes of it that are missing
	offset  int64  // of the byte behind what was used
	out     [][]byte
}

func (d *deframer) Do(_ context.Context, in []byte, emit func([][]byte) error) error {
	d.out = d.out[:0]
	err := d.cut(in)
	if eerr := emit(d.out); eerr != nil {
		return eerr
	}
	clear(d.out)
	return err
}

func (d *deframer) cut(in []byte) error {
	for len(in) > 0 || d.frame != nil && d.need == 0 {
		if d.frame == nil {
			d.head = append(d.head, in[0])
			d.offset++
			in = in[1:]
			n, ok := d.length()
			if !ok {
				if len(d.head) >= binary.MaxVarintLen64 {
					return fmt.Errorf("%w: the length that ends at byte %d has more than 64 bits", ErrFrameTooLarge, d.offset)
				}
				continue
			}
			if n > d.most {
				return fmt.Errorf("%w: %d bytes at byte %d, at most %d are allowed", ErrFrameTooLarge, n, d.offset, d.most)
			}
			d.head = d.head[:0]
			// A length alone must not cost its memory.
			d.frame, d.need = make([]byte, 0, min(int(n), max(len(in), 4096))), int(n)
		}
		k := min(d.need, len(in))
		d.frame = append(d.frame, in[:k]...)
		in = in[k:]
		d.need -= k
		d.offset += int64(k)
		if d.need == 0 {
			d.out = append(d.out, d.frame)
			d.frame = nil
		}
	}
	return nil
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
		return fmt.Errorf("%w within a frame, at byte %d", io.ErrUnexpectedEOF, d.offset)
	}
	return nil
}

// EncodeFrames writes each value behind its length.
func EncodeFrames(s Stream[[]byte], framing Framing) Stream[byte] {
	if framing != Frame32 && framing != FrameVarint {
		return failed[byte]("encode frames", fmt.Errorf("framing %d: use Frame32 or FrameVarint", framing), s.roots())
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
