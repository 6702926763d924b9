package atomicfile

import (
	"fmt"
	"io/fs"
	"os"
)

// Error is the error of every operation on a [File]. It names the target as
// the caller did, never the temporary file. It matches the error that it wraps
// with [errors.Is], and [*fs.PathError] with [errors.As].
type Error struct {
	Op     string
	Path   string
	Offset int64 // where in the target writing stopped, in bytes; -1 if nothing was being written
	Err    error
}

func (e *Error) Error() string {
	if e.Offset >= 0 {
		return fmt.Sprintf("%s %s at offset %d: %v", e.Op, e.Path, e.Offset, e.Err)
	}
	return fmt.Sprintf("%s %s: %v", e.Op, e.Path, e.Err)
}

// Unwrap returns the same error without its offset.
func (e *Error) Unwrap() error {
	return &fs.PathError{Op: e.Op, Path: e.Path, Err: e.Err}
}

// failure returns the error of an operation other than writing.
func failure(op, path string, err error) *Error {
	return &Error{Op: op, Path: path, Offset: -1, Err: cause(err)}
}

// cause takes off the layers that name files of ours and system calls.
func cause(err error) error {
	for {
		switch e := err.(type) {
		case *fs.PathError:
			err = e.Err
		case *os.LinkError:
			err = e.Err
		case *os.SyscallError:
			err = e.Err
		default:
			return err
		}
	}
}
