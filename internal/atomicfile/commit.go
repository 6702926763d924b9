package atomicfile

import (
	"errors"
	"io/fs"
	"os"
	"syscall"
	"time"

	"github.com/weir-go/weir/internal/lock"
	"github.com/weir-go/weir/internal/xattr"
)

// ErrAborted is the error of Commit after Abort.
var ErrAborted = errors.New("file was aborted")

// Commit publishes the file under its path. If it returns nil, the target is
// complete. If it returns an error, the target is as it was before and the
// temporary file is removed. There are two exceptions, in which the target is
// complete: after an error whose Op is "sync directory", the new name may not
// survive a power failure; after "remove temporary name of", the file has two
// names. A file written directly to its target keeps the data written so far.
//
// A second Commit returns the result of the first one.
func (f *File) Commit() error {
	f.mu.Lock()
	defer f.mu.Unlock()
	switch {
	case f.ended == committed:
		return f.err
	case f.ended == aborted:
		return failure("commit", f.path, ErrAborted)
	}
	f.ended = committed
	if e := f.prepare(); e != nil {
		f.discard()
		f.err = e
	} else if e := f.publish(); e != nil {
		f.err = e
	}
	return f.err
}

// Abort gives the file up: the target is as it was and the temporary file is
// gone. A file written straight to its target keeps the bytes that were
// written. Abort unblocks a Write to a pipe or a socket, which then fails with
// [os.ErrClosed]. After Commit it does nothing, so it can be deferred.
func (f *File) Abort() error {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.ended != open {
		return nil
	}
	f.ended = aborted
	if err := f.discard(); err != nil {
		return failure("abort", f.path, err)
	}
	return nil
}

// discard closes the file and removes it, if it is a temporary one.
func (f *File) discard() error {
	err := f.file.Close()
	if f.temp != "" {
		err = nil // an error of a discarded file is of no use
		if rerr := os.Remove(f.temp); !errors.Is(rerr, fs.ErrNotExist) {
			err = rerr
		}
	}
	return err
}

// Prepare does the work that can fail before the target changes: it cuts the file
// to its length, gives it the metadata it is to have, and brings it to stable
// storage, as the options ask. Commit does it if Prepare has not been called.
// After an error the file is still to be ended.
func (f *File) Prepare() error {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.ended != open {
		return failure("prepare", f.path, os.ErrClosed)
	}
	if err := f.prepare(); err != nil {
		return err
	}
	return nil
}

// prepare is Prepare. mu is held.
func (f *File) prepare() *Error {
	if e := f.failed.Load(); e != nil {
		return e
	}
	if f.prepared {
		return nil
	}
	if f.opts.Mode == InPlace && f.opts.Cut {
		if err := f.file.Truncate(f.base + f.Written()); err != nil {
			return failure("truncate", f.path, err)
		}
	}
	if err := f.Extend(); err != nil {
		return failure("truncate", f.path, err)
	}
	if f.kept = f.like(); f.kept != nil {
		if err := f.take(f.kept); err != nil {
			return failure("keep metadata of", f.path, err)
		}
	}
	if f.opts.Sync {
		if err := f.file.Sync(); err != nil && !cannotSync(err) {
			return failure("sync", f.path, err)
		}
	}
	f.prepared = true
	return nil
}

// publish makes the prepared file the target.
func (f *File) publish() *Error {
	if f.temp != "" && Sweeps { // no sweep may take it before it has its name
		held, err := lock.Dup(f.file)
		if err != nil && !errors.Is(err, errors.ErrUnsupported) {
			f.discard()
			return failure("publish", f.path, err)
		}
		defer held.Close()
	}
	if err := f.file.Close(); err != nil {
		f.removeTemp()
		return failure("close", f.path, err)
	}
	if f.kept != nil && timesByName {
		if err := os.Chtimes(f.writtenAs(), time.Time{}, f.kept.ModTime()); err != nil {
			f.removeTemp()
			return failure("keep metadata of", f.path, err)
		}
	}
	if f.temp != "" {
		if err := f.name(); err != nil {
			f.removeTemp()
			return failure("publish", f.path, err)
		}
	}
	if f.opts.Mode == Exclusive && f.temp != "" {
		if err := os.Remove(f.temp); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return failure("remove temporary name of", f.path, err)
		}
	}
	if f.opts.Sync && (f.temp != "" || f.made) {
		if err := SyncDir(f.dir()); err != nil && !cannotSync(err) {
			return failure("sync directory", f.path, err)
		}
	}
	return nil
}

// like describes the file whose metadata this one takes on, or is nil.
func (f *File) like() fs.FileInfo {
	if f.opts.Like == nil || f.shared {
		return nil
	}
	return f.opts.Like()
}

// take gives the file the metadata of another: first the fields that only its
// owner may set, and then the owner.
func (f *File) take(like fs.FileInfo) error {
	if err := setTimes(f.file, like); err != nil {
		return err
	}
	if d, ok := like.(interface{ Attributes() []xattr.Attr }); ok {
		if err := xattr.Write(f.file, d.Attributes()); err != nil {
			return err
		}
	}
	return Keep(f.file, like)
}

// writtenAs returns the name that the file has until it is published.
func (f *File) writtenAs() string {
	if f.temp != "" {
		return f.temp
	}
	return f.target
}

func (f *File) removeTemp() {
	if f.temp != "" {
		os.Remove(f.temp)
	}
}

var files Dir = paths{} // a test plays a file system without hard links

// name gives the temporary file the target's name, and may leave it its old
// one too.
func (f *File) name() error {
	if f.opts.Mode != Exclusive {
		return os.Rename(f.temp, f.target)
	}
	return NameNew(files, f.temp, f.target)
}

// cannotSync reports whether err only says that there is nothing to sync: a
// pipe, a device, or a file system without a notion of it.
func cannotSync(err error) bool {
	return errors.Is(err, syscall.EINVAL) || errors.Is(err, errors.ErrUnsupported)
}
