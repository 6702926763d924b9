// Package errno recognises errors of the operating system.
//
// Package syscall has the names of POSIX on Windows too, but Windows never
// returns those values: it has its own, and more than one for some of them.
package errno

import (
	"errors"
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
