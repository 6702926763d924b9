// Package atomicfile writes files that are whole or absent.
//
// In its default mode a [File] is written under a temporary name beside its
// target and takes the target's name in one step when it is committed. Until
// then, and after a failure, the target is as it was before. Only a process
// that is killed, or a crash of the machine, can leave the temporary file
// behind. [IsTemp] recognizes such a name, and [Sweep] removes such files. A
// File locks its temporary file while it is in use.
//
// A replaced file keeps its permission bits, its owner as far as the process
// may set it, and the symbolic links that lead to it. It loses set-user-ID and
// set-group-ID, which were granted to the old contents; its other hard links,
// which still name the old contents; and access control lists and extended
// attributes, including file capabilities. [InPlace] and [Truncate] keep those
// too. With [Options].Like the new file takes owner and permissions from
// another file instead, see [Keep].
package atomicfile

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/weir-go/weir/internal/fifo"
	"github.com/weir-go/weir/internal/lock"
	"github.com/weir-go/weir/internal/sparse"
	"github.com/weir-go/weir/internal/xattr"
)

// Mode says how a target comes by its contents.
type Mode int

const (
	// Replace writes beside the target and renames over it.
	Replace Mode = iota
	// Exclusive is Replace for a target that must not exist, neither when it
	// is opened nor when it is committed: an existing file is never touched.
	Exclusive
	// InPlace writes into an existing file from [Options].Offset, and leaves the
	// data after the last byte written unchanged. The data written so far remains
	// after an Abort.
	InPlace
	// Append writes to the end of a file, which is created if absent. The data
	// written so far remains after an Abort.
	Append
	// Truncate empties the target, or creates it, and writes directly to it. The
	// data written so far remains after an Abort.
	Truncate
	// Fresh creates the target, which must not exist, and writes directly to it. The
	// data written so far remains after an Abort.
	Fresh
)

// Options say how a file is opened and committed. The zero value replaces the
// target atomically and leaves it to the system when it reaches the disk.
type Options struct {
	Mode Mode

	// Perm are the permission bits of a file that does not exist yet, before
	// umask; zero means 0666. Other bits are ignored: set-user-ID, for example,
	// would come with the wrong owner. An existing file keeps its own.
	Perm fs.FileMode

	// Like makes Commit give the file the owner, the permissions and the
	// modification time of the file that Like describes, as [Keep] does, before
	// it takes its name; Perm is not used then. Until it is committed a new
	// file is its owner's alone. Like is called once, by Prepare or Commit; if it returns
	// nil, or the target is a device, a pipe or open already, nothing is kept.
	Like func() fs.FileInfo

	// Sparse, if not nil, is asked at the first Write whether blocks of zeros
	// are to become holes, as they are where the source has holes. It is
	// ignored where something has to be overwritten.
	Sparse func() bool

	// Offset is where InPlace begins, in bytes.
	Offset int64

	// Cut makes Commit end an InPlace file after the last byte written.
	Cut bool

	// Sync makes Commit return only when the contents, and the name of a new
	// or replaced file, are on stable storage.
	Sync bool
}

// File is a file being written. Write is for one goroutine; Abort may be
// called from any, and unblocks a Write to a pipe or a socket. Every File must
// be ended with [File.Commit] or [File.Abort].
type File struct {
	path   string // as the caller gave it
	target string // the file itself, behind symbolic links; absolute
	opts   Options
	file   *os.File
	temp   string // the name being written under, if not target
	base   int64  // position in the target of the first byte
	made   bool   // the target did not exist before
	shared bool   // the target is a device, a pipe, or open already

	begun  bool           // Write was called
	sparse *sparse.Writer // nil: zeros are written

	written atomic.Int64
	failed  atomic.Pointer[Error] // the first write that failed

	mu       sync.Mutex
	prepared bool
	kept     fs.FileInfo // whose metadata the file has taken on; nil: none
	ended    end
	err      error // the result of Commit
}

// Open begins to write the file at path. A symbolic link is followed: its
// target is written, and the link stays; one that leads nowhere is
// [ErrDangling]. A device, a named pipe and names such as /dev/stdout are
// written to straight, whatever the mode. Only a named pipe makes Open wait,
// for its reader, until ctx ends.
//
// The error is an [*Error]. A target that is a directory matches
// [syscall.EISDIR]; a file that may not be written is refused even where its
// directory would allow to replace it.
func Open(ctx context.Context, path string, opts Options) (*File, error) {
	f := &File{path: path, opts: opts}
	if err := f.begin(ctx); err != nil {
		return nil, failure("open", path, err)
	}
	return f, nil
}

func (f *File) begin(ctx context.Context) error {
	if f.opts.Offset < 0 || f.opts.Offset > 0 && f.opts.Mode != InPlace {
		return fmt.Errorf("offset %d: only a file written in place has one, of 0 or more: %w", f.opts.Offset, fs.ErrInvalid)
	}
	switch {
	case f.opts.Like != nil:
		f.opts.Perm = 0o600
	case f.opts.Perm == 0:
		f.opts.Perm = 0o666
	}
	f.opts.Perm = f.opts.Perm.Perm()
	p, err := resolve(f.path)
	if err != nil {
		return err
	}
	f.target = p.name
	if p.info != nil && (f.opts.Mode == Exclusive || f.opts.Mode == Fresh) {
		return fs.ErrExist
	}
	if p.straight() {
		f.shared = true
		f.file, err = openStraight(ctx, p)
		if err == nil && f.opts.Offset > 0 {
			err = f.seek()
		}
		return err
	}
	f.made = p.info == nil
	switch f.opts.Mode {
	case Replace, Exclusive:
		return f.openTemp(p)
	case InPlace:
		if f.file, err = os.OpenFile(p.name, os.O_WRONLY, 0); err != nil {
			return err
		}
		return f.seek()
	case Append:
		return f.openAppend()
	case Truncate:
		f.file, err = os.OpenFile(p.name, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, f.opts.Perm)
		return f.explain(err)
	case Fresh:
		f.file, err = os.OpenFile(p.name, os.O_WRONLY|os.O_CREATE|os.O_EXCL, f.opts.Perm)
		if errors.Is(err, fs.ErrExist) {
			return fs.ErrExist
		}
		return f.explain(err)
	}
	return fmt.Errorf("mode %d: %w", f.opts.Mode, fs.ErrInvalid)
}

func openStraight(ctx context.Context, p place) (*os.File, error) {
	if p.fd < 0 {
		return fifo.Open(ctx, p.name, os.O_WRONLY, 0)
	}
	// A pipe can be opened again, which makes it a file of our own that can
	// be unblocked; all else, and a pipe without a reader, is shared.
	if p.info.Mode()&fs.ModeNamedPipe != 0 {
		if f, err := os.OpenFile(p.name, os.O_WRONLY|nonblock, 0); err == nil {
			return f, nil
		}
	}
	return duplicate(p.fd, p.name)
}

func (f *File) openTemp(p place) error {
	perm := f.opts.Perm
	if p.info != nil {
		// Renaming over a file needs no permission to write to it. If the file is
		// write-protected, that is on purpose.
		w, err := os.OpenFile(p.name, os.O_WRONLY, 0)
		if errors.Is(err, fs.ErrPermission) {
			return err
		}
		if err == nil {
			w.Close()
		}
		perm = 0o600 // a private file must not be open for a moment
	}
	var err error
	if f.file, err = createTemp(p.name, perm); err != nil {
		if errors.Is(err, fs.ErrPermission) {
			return fmt.Errorf("cannot create a file beside it in %s: %w", f.dir(), cause(err))
		}
		return f.explain(err)
	}
	f.temp = f.file.Name()
	if p.info != nil && f.opts.Like == nil {
		if err := Inherit(f.file, p.info); err != nil {
			f.discard()
			return fmt.Errorf("keep permissions: %w", cause(err))
		}
	}
	return nil
}

func (f *File) openAppend() error {
	var err error
	if f.file, err = os.OpenFile(f.target, os.O_WRONLY|os.O_CREATE|os.O_APPEND, f.opts.Perm); err != nil {
		return f.explain(err)
	}
	if info, err := f.file.Stat(); err == nil {
		f.base = info.Size()
	}
	return nil
}

func (f *File) seek() error {
	f.base = f.opts.Offset
	if _, err := f.file.Seek(f.base, io.SeekStart); err != nil {
		f.file.Close()
		return fmt.Errorf("seek to %d: %w", f.base, cause(err))
	}
	return nil
}

// explain says which directory is missing, where that is why a file could not
// be created.
func (f *File) explain(err error) error {
	dir := f.dir()
	info, serr := os.Stat(dir)
	switch {
	case err == nil:
		return nil
	case errors.Is(serr, fs.ErrNotExist):
		return fmt.Errorf("directory %s: %w", dir, syscall.ENOENT)
	case serr == nil && !info.IsDir():
		return fmt.Errorf("%s is not a directory: %w", dir, syscall.ENOTDIR)
	}
	return err
}

// Path returns the path that Open was given.
func (f *File) Path() string { return f.path }

// Temp returns the name the file is written under until Commit, and "" where
// it is written straight to its target.
func (f *File) Temp() string { return f.temp }

// Written returns how many bytes were written. It can be called at any time.
func (f *File) Written() int64 { return f.written.Load() }

// OSFile returns the underlying file, for the kernel to write to. f still owns
// it: do not close it. Instead of calling Write, report the bytes that reached
// it with [File.Moved].
func (f *File) OSFile() *os.File { return f.file }

// Write writes p at the current position. Its error is an [*Error] with the
// target's path and the offset reached, and makes a later Commit fail: a file
// that misses a piece is not published.
func (f *File) Write(p []byte) (int, error) {
	if !f.begun {
		f.begun = true
		f.makeHoles()
	}
	var n int
	var err error
	if f.sparse != nil {
		n, err = f.sparse.Write(p)
	} else {
		n, err = f.file.Write(p)
	}
	f.written.Add(int64(n))
	if err != nil {
		err = f.fail("write", err)
	}
	return n, err
}

// makeHoles begins to leave out zeros, if the options ask for that and the file
// is written at its end.
func (f *File) makeHoles() {
	if f.opts.Sparse == nil || f.shared || f.opts.Mode == Append || !f.opts.Sparse() {
		return
	}
	w, err := sparse.NewWriter(f.file)
	if err != nil {
		return
	}
	if info, err := f.file.Stat(); err == nil && info.Size() <= f.base {
		f.sparse = w
	}
}

// Extend gives a file that ends in a hole its length, as Prepare does. Call it
// to read the file before Prepare.
func (f *File) Extend() error {
	if f.sparse == nil {
		return nil
	}
	return f.sparse.End()
}

// Moved records that n bytes were written to [File.OSFile] and that the
// attempt ended with err, which may be nil. It returns err as Write would.
func (f *File) Moved(n int64, err error) error {
	f.written.Add(n)
	if err != nil {
		err = f.fail("copy to", err)
	}
	return err
}

// dir returns the directory of the target.
func (f *File) dir() string {
	dir, _ := filepath.Split(f.target) // not filepath.Dir, see absolute
	return dir
}

func (f *File) fail(op string, err error) error {
	e := &Error{Op: op, Path: f.path, Offset: f.base + f.Written(), Err: cause(err)}
	f.failed.CompareAndSwap(nil, e)
	return e
}

type end int

const (
	open end = iota
	committed
	aborted
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
