package compress

import (
	"errors"
	"fmt"
	"io"

	"github.com/weir-go/weir/internal/units"
)

var (
	// ErrTooLarge is the cause when [MaxOutput] or [MaxRatio] was reached. The
	// error is a [*weir.LimitError].
	ErrTooLarge = errors.New("decompressed data is too large")

	// ErrFormat is the cause when the input does not begin as its format does.
	// Most likely it is in another format, rather than damaged.
	ErrFormat = errors.New("unrecognized format")

	// ErrTrailing is the cause when compressed data is followed by other data
	// than zeros, which was not read. See [OnTrailing].
	ErrTrailing = errors.New("other data follows the end of the compressed data")

	// ErrChecksum is the cause when data was decompressed and its checksum or
	// length is not what the file says.
	ErrChecksum = errors.New("checksum does not match")

	// ErrWindow is the cause when zstd data needs a larger window than
	// [MaxWindow] allows. The error is a [*weir.LimitError].
	ErrWindow = errors.New("window is too large")
)

// CorruptError is the error of input that is damaged. What can be decompressed
// is delivered before it. If the input ended too early the error matches
// [io.ErrUnexpectedEOF]; if other data follows the end, which may be the rest of
// the input with damage at its beginning, it matches [ErrTrailing]; if it was in
// another format from the start, [ErrFormat]. Input that is only larger than a
// limit allows is a [*weir.LimitError] instead.
type CorruptError struct {
	Format string // "gzip"
	Offset int64  // in the input, in bytes, up to where it was read
	Err    error
}

func (e *CorruptError) Error() string {
	if errors.Is(e.Err, ErrFormat) {
		return fmt.Sprintf("not in %s format", e.Format)
	}
	if e.Offset == 0 && errors.Is(e.Err, io.ErrUnexpectedEOF) {
		return fmt.Sprintf("empty input, not in %s format", e.Format)
	}
	if errors.Is(e.Err, io.ErrUnexpectedEOF) {
		return fmt.Sprintf("%s data ends too early, after %s", e.Format, units.Count(e.Offset, "byte"))
	}
	if errors.Is(e.Err, ErrTrailing) {
		return fmt.Sprintf("%s data ends at byte %d, but other data follows", e.Format, e.Offset)
	}
	return fmt.Sprintf("%s data, near byte %d: %v", e.Format, e.Offset, e.Err)
}

func (e *CorruptError) Unwrap() error { return e.Err }
