// Package lock locks files against other processes, so that a temporary file
// that is in use can be told from one that a killed process left. Process ids
// cannot tell them apart: two containers on one folder use the same ones.
//
// A lock belongs to the open file. It ends when the file and every duplicate of
// it are closed, and so with the process, however that ends. Locks only hold
// back those who ask for them.
package lock

import (
	"errors"
	"io/fs"
	"os"
)

// ErrHeld is the error of [Try] when another open file holds the lock.
var ErrHeld = errors.New("locked by another process")

// Try locks f and does not wait. The error is [ErrHeld], or matches
// [errors.ErrUnsupported] where the system or the file system has no locks.
func Try(f *os.File) error { return try(f) }

// Dup returns a duplicate of f, which the caller closes. The lock of f lasts
// until both are closed. It matches [errors.ErrUnsupported] where the system
// cannot duplicate a file.
func Dup(f *os.File) (*os.File, error) { return dup(f) }

// Claim locks f, which was just created and which lstat looks up by its name.
// It reports false when a sweep has taken the file meanwhile: f must be closed
// then, and another one created. Without locks there are no sweeps, and every
// claim holds.
func Claim(f *os.File, lstat func() (fs.FileInfo, error)) bool {
	switch err := Try(f); {
	case errors.Is(err, ErrHeld):
		return false
	case err != nil:
		return true
	}
	return IsNamed(f, lstat)
}

// IsNamed reports whether the name that lstat looks up is still f's.
func IsNamed(f *os.File, lstat func() (fs.FileInfo, error)) bool {
	is, err := f.Stat()
	if err != nil {
		return false
	}
	named, err := lstat()
	return err == nil && os.SameFile(is, named)
}
