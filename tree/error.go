package tree

import (
	"errors"
	"fmt"

	"github.com/weir-go/weir/internal/units"
)

// ErrSpecial is the error for a device, a socket or a named pipe in the source.
var ErrSpecial = errors.New("not a file, folder or symbolic link")

// ErrFolder is the error for a file if the destination has a folder of that
// name.
var ErrFolder = errors.New("name is taken by a folder")

// ErrFile is the error for a folder if the destination has something else of
// that name.
var ErrFile = errors.New("name is taken by a file")

// ErrLink is the error for a folder if the destination has a symbolic link of
// that name. Copy writes nothing through the link.
var ErrLink = errors.New("name is taken by a symbolic link")

// ErrInside is returned if To is inside From.
var ErrInside = errors.New("destination is inside the source")

// ErrAppeared is returned if To did not exist when the copy began but exists
// when it ends. Run then discards the copy and leaves To as it is.
var ErrAppeared = errors.New("something else has taken this name since the copy began")

// IncompleteError is returned by a copy that continued after failures. The
// destination has everything else.
type IncompleteError struct {
	Failed int64 // files and folders that could not be copied
	First  error // the first failure
}

func (e *IncompleteError) Error() string {
	if e.Failed == 1 {
		return e.First.Error()
	}
	return fmt.Sprintf("%s; the first: %v", units.Count(e.Failed, "failure"), e.First)
}

func (e *IncompleteError) Unwrap() error { return e.First }

// WriteError is a failure to write the destination.
type WriteError struct {
	Path string
	Err  error
}

func (e *WriteError) Error() string { return fmt.Sprintf("write %s: %v", e.Path, e.Err) }

func (e *WriteError) Unwrap() error { return e.Err }

// readError marks the failures of the source's side.
type readError struct{ err error }

func (e *readError) Error() string { return e.err.Error() }

func (e *readError) Unwrap() error { return e.err }
