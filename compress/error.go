package compress

import (
	"errors"
	"fmt"
	"io"

	"github.com/weir-go/weir/internal/units"
)

var (
	// ErrTooLarge is the cause if the output would exceed [MaxOutput] or
	// [MaxRatio]. The error is a [*weir.LimitError].
	ErrTooLarge = errors.New("decompressed data is too large")

	// ErrFormat is the cause if the beginning of the input does not match the
	// format. The input is then probably in another format, not damaged.
	ErrFormat = errors.New("unrecognized format")

	// ErrTrailing is the cause if data other than zeros follows the compressed
	// data. The decoder does not read it. See [OnTrailing].
	ErrTrailing = errors.New("other data follows the end of the compressed data")

	// ErrChecksum is the cause if the checksum or length of the decompressed data
	// differs from the one in the file.
	ErrChecksum = errors.New("checksum does not match")

	// ErrWindow is the cause when zstd data needs a larger window than
	// [MaxWindow] allows. The error is a [*weir.LimitError].
	ErrWindow = errors.New("window is too large")
)

// CorruptError is the error for damaged input. Everything that can be decompressed
// is delivered before it. The error matches [io.ErrUnexpectedEOF] if the input ended
// too early, and [ErrFormat] if the input was in another format from the start. It
// matches [ErrTrailing] if other data follows the end; that data can be the rest of
// the input, damaged at its beginning. Input that only exceeds a limit is a
// [*weir.LimitError] instead.
type CorruptError struct {
	Format string // "gzip"
	Offset int64  // position in the input, in bytes, up to which it was read
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
