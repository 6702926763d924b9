// Package lock locks files against other processes, to distinguish a temporary
// file that is in use from one that a killed process left. Process ids cannot
// do that: two containers on one folder use the same ones.
//
// A lock belongs to the open file. It ends when the file and every duplicate of
// it are closed, and so with the process, however that ends. Locks are
// advisory: they affect only processes that ask for them.
package lock

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"time"
)

// ErrHeld is the error when another open file holds the lock.
var ErrHeld = errors.New("locked by another process")

// Try locks f and does not wait. The error is [ErrHeld], or matches
// [errors.ErrUnsupported] where the system or the file system has no locks.
func Try(f *os.File) error { return try(f) }

// Unlock ends the lock of f, which stays open. Closing f does the same, but later if a
// process that this one is about to start has inherited f for a moment.
func Unlock(f *os.File) { unlock(f) }

// Dup returns a duplicate of f, which the caller closes. The lock of f lasts
// until both are closed. It matches [errors.ErrUnsupported] where the system
// cannot duplicate a file.
func Dup(f *os.File) (*os.File, error) { return dup(f) }

// Claim locks f, which was just created and which lstat looks up by its name.
// It reports false if a sweep has removed or locked the file since: the caller
// must then close f and create another file. Without locks there are no sweeps,
// and every claim holds.
func Claim(f *os.File, lstat func() (fs.FileInfo, error)) bool {
	switch err := Try(f); {
	case errors.Is(err, ErrHeld):
		return false
	case err != nil:
		return true
	}
	return IsNamed(f, lstat)
}

// Patience is how long [Open] waits for a lock. A process that was killed holds its
// locks until it has ended, which takes as long as a flush to the disk that it was in.
const Patience = 5 * time.Second

// Open opens the file called name for reading and writing, creates it with the
// permissions 0600 if it is not there, and locks it. Open does not follow a
// symbolic link, where the system supports that. The error is [ErrHeld] if
// another process has locked the file and keeps it locked for as long as [Patience], and
// the cause of ctx if that ends before. Without locks the file is opened all the same.
func Open(ctx context.Context, name string) (*os.File, error) { return OpenPerm(ctx, name, 0o600) }

// OpenPerm is [Open] for a file that is created with the permissions perm, before
// umask.
func OpenPerm(ctx context.Context, name string, perm fs.FileMode) (*os.File, error) {
	f, err := open(name, perm)
	if !errors.Is(err, ErrHeld) {
		return f, err
	}
	end := time.NewTimer(Patience)
	defer end.Stop()
	again := time.NewTicker(20 * time.Millisecond) // no system tells when a lock ends
	defer again.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil, context.Cause(ctx)
		case <-end.C:
			return nil, ErrHeld
		case <-again.C:
			if f, err := open(name, perm); !errors.Is(err, ErrHeld) {
				return f, err
			}
		}
	}
}

// open is OpenPerm without waiting.
func open(name string, perm fs.FileMode) (*os.File, error) {
	for {
		f, err := os.OpenFile(name, os.O_RDWR|os.O_CREATE|noFollow, perm)
		if err != nil {
			return nil, err
		}
		err = Try(f)
		switch {
		case errors.Is(err, ErrHeld):
			f.Close()
			return nil, err
		case err != nil || IsNamed(f, func() (fs.FileInfo, error) { return os.Lstat(name) }):
			return f, nil
		}
		f.Close() // the previous holder of the lock has removed it
	}
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
