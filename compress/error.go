package compress

import (
	"errors"
	"fmt"
	"io"
)

var (
	// ErrTooLarge is the cause when [MaxOutput] or [MaxRatio] was reached.
	ErrTooLarge = errors.New("decompressed data is too large")

	// ErrTrailing is for a function given to [OnTrailing] to return.
	ErrTrailing = errors.New("trailing garbage")

	// ErrChecksum is the cause when data was decompressed and its checksum or
	// length is not what the file says.
	ErrChecksum = errors.New("checksum does not match")

	// ErrWindow is the cause when zstd data needs a larger window than
	// [MaxWindow] allows.
	ErrWindow = errors.New("a frame needs a window larger than")
)

// CorruptError is the error of input that a decoder cannot read. If the input
// ended too early it matches [io.ErrUnexpectedEOF].
type CorruptError struct {
	Format string // "gzip"
	Offset int64  // in the input, in bytes, up to where it was read
	Err    error
}

func (e *CorruptError) Error() string {
	if errors.Is(e.Err, io.ErrUnexpectedEOF) {
		return fmt.Sprintf("%s data ends too early, after %d bytes", e.Format, e.Offset)
	}
	return fmt.Sprintf("%s data, near byte %d: %v", e.Format, e.Offset, e.Err)
}

func (e *CorruptError) Unwrap() error { return e.Err }
