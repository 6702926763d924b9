package nats

import (
	"encoding/json"
	"errors"
	"fmt"
	"hash/crc32"
	"strings"
	"unicode/utf8"

	"github.com/nats-io/nats.go"

	"github.com/weir-go/weir/durable"
	"github.com/weir-go/weir/internal/crcpair"
)

const (
	headerFrame      = "Weir-Frame"
	headerCheckpoint = "Weir-Checkpoint"
)

var frameSums = crc32.MakeTable(crc32.Castagnoli)

// frame is a part of the stream of an edge: the bytes from Offset on. One without
// bytes brings a checkpoint, claims the edge for a producer, or marks the end.
type frame struct {
	Offset int64  `json:"offset"`
	Sum    uint64 `json:"sum"`           // of the stream before Offset, as in a durable.Checkpoint
	CRC    uint32 `json:"crc"`           // CRC-32C of data
	By     string `json:"by"`            // the run of a producer that made it
	End    bool   `json:"end,omitempty"` // the stream ends here

	data       []byte
	checkpoint string // of the producer, as JSON; it is not behind the end of the frame
}

func (f *frame) end() int64 { return f.Offset + int64(len(f.data)) }

// sumAtEnd returns the sum of the stream up to the end of the frame.
func (f *frame) sumAtEnd() uint64 { return crcpair.Update(f.Sum, f.data) }

// header returns the header of the message.
func (f *frame) header() (nats.Header, error) {
	b, err := json.Marshal(f)
	if err != nil {
		return nil, err
	}
	return nats.Header{headerFrame: {string(b)}, headerCheckpoint: {f.checkpoint}}, nil
}

// parseFrame reads a message. It checks the CRC of the data, which it keeps.
func parseFrame(h nats.Header, data []byte) (*frame, error) {
	text := h.Get(headerFrame)
	if text == "" {
		return nil, errors.New("message without the header of a frame: another program has written to the edge")
	}
	f := &frame{data: data, checkpoint: h.Get(headerCheckpoint)}
	if err := json.Unmarshal([]byte(text), f); err != nil {
		return nil, fmt.Errorf("header of a frame: %w", err)
	}
	if sum := crc32.Checksum(data, frameSums); sum != f.CRC {
		return nil, fmt.Errorf("frame at byte %d: CRC %08x, want %08x", f.Offset, sum, f.CRC)
	}
	return f, nil
}

// checkpointText writes a checkpoint as JSON in ASCII, as a header needs it.
func checkpointText(c durable.Checkpoint) (string, error) {
	b, err := json.Marshal(c)
	if err != nil {
		return "", err
	}
	var s strings.Builder
	for len(b) > 0 {
		r, n := utf8.DecodeRune(b)
		switch {
		case r < utf8.RuneSelf:
			s.WriteByte(b[0])
		case r > 0xFFFF:
			r -= 0x10000
			fmt.Fprintf(&s, `\u%04x\u%04x`, 0xD800+r>>10, 0xDC00+r&0x3FF)
		default:
			fmt.Fprintf(&s, `\u%04x`, r)
		}
		b = b[n:]
	}
	if s.Len() > headerRoom/2 {
		return "", fmt.Errorf("checkpoint of %d bytes; at most %d fit into a frame", s.Len(), headerRoom/2)
	}
	return s.String(), nil
}

// checkpointOf reads the checkpoint of a frame.
func (f *frame) checkpointOf() (c durable.Checkpoint, err error) {
	if f.checkpoint != "" {
		err = json.Unmarshal([]byte(f.checkpoint), &c)
	}
	if err == nil && c.Offset > f.end() {
		err = fmt.Errorf("checkpoint at byte %d is behind the end of its frame at %d", c.Offset, f.end())
	}
	return c, err
}
