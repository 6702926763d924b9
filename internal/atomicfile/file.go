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
	"io/fs"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"

	"github.com/weir-go/weir/internal/sparse"
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

type end int

const (
	open end = iota
	committed
	aborted
)

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
