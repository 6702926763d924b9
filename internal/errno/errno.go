// Package errno recognises errors of the operating system.
//
// Package syscall has the names of POSIX on Windows too, but Windows never
// returns those values: it has its own, and more than one for some of them.
package errno

import (
	"errors"
	"io/fs"
	"os"
	"syscall"
)

// Is reports whether err is e, or one of the errors that Windows returns in its
// place.
func Is(err error, e syscall.Errno) bool {
	if errors.Is(err, e) {
		return true
	}
	for _, other := range others[e] {
		if errors.Is(err, other) {
			return true
		}
	}
	return false
}

// Bare returns err without the operation and the names that package os puts around
// it, for a sentence that has them already. The name of a system call, such as sendfile,
// is an operation too.
func Bare(err error) error {
	var pe *fs.PathError
	var le *os.LinkError
	switch {
	case errors.As(err, &pe):
		err = pe.Err
	case errors.As(err, &le):
		err = le.Err
	}
	// Not errors.As: the addresses of a network error are around the call.
	if call, ok := err.(*os.SyscallError); ok {
		return call.Err
	}
	return err
}
