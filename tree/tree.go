// Package tree copies folders as weir flows: one goroutine walks, several copy
// files, and a bounded number of files is on its way at any time.
//
// Everything is opened below an [os.Root] of its own directory, so that neither
// a symbolic link in the source nor one that appears in the destination leads
// out of them.
package tree

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"runtime"
	"sync/atomic"

	"github.com/weir-go/weir"
	"github.com/weir-go/weir/internal/units"
)

// Copy describes the copy of a folder. Set its fields before Flow or Run; a
// Copy is for one run and must not be copied after that. Its functions are
// called by one goroutine at a time, and must not call methods of the Copy but
// Progress and Current.
type Copy struct {
	// From is the folder to copy, To what the copy is called. If To does not
	// exist, it is built under a temporary name beside it and takes its name
	// at the end. If it is a folder, the files are merged into it, each of
	// them whole or as it was.
	From, To string

	// Workers is how many files are copied at a time. Zero means two for each
	// core.
	Workers int

	// Metadata keeps permissions whatever the umask, times, and owners where
	// the system allows it, of symbolic links too; hard links between the
	// files that are copied; and on Linux the extended attributes of users.
	// Set-user-ID and set-group-ID are kept only where owner and group are;
	// file capabilities and access control lists are not copied. Without
	// Metadata a new file has the permissions of the source as far as the
	// umask lets it, as by cp -r, and one that replaces another has those of
	// the file that was there. Holes in files are always kept.
	Metadata bool

	// Durable makes Run return only when everything is on stable storage.
	Durable bool

	// Rate is how many bytes a second may be copied at most, by all workers
	// together. Zero means no limit.
	Rate int64

	// Verify reads each file back when it is written, before it takes its
	// name. A file that holds something else than what was read fails with
	// [weir.ErrReadBack].
	Verify bool

	// KeepPartial copies straight to To, so that the files that were copied
	// are still there after a failure, each of them whole.
	KeepPartial bool

	// Resume leaves out files that To has already: of the same size, and with
	// the source's modification time or, without Metadata, written after the
	// last change of the source. It copies straight to To, as KeepPartial.
	Resume bool

	// Checksum makes Resume compare contents in place of times.
	Checksum bool

	// NoClobber replaces nothing: a file that To has already is a failure that
	// matches [fs.ErrExist], and stays as it is. So does one that appears while
	// the copy runs.
	NoClobber bool

	// Exclude are patterns of what to leave out. A pattern without a slash is
	// matched against every name, one with a slash against the path below
	// From; one that ends in a slash matches folders only. In it * and ? stand
	// for characters of one name, [a-z] for one of them, and ** for any number
	// of folders. A folder is left out with all that is in it.
	Exclude []string

	// Delete removes from To, when everything has been copied, what From does
	// not have. What Exclude matches stays. After any failure nothing is
	// removed.
	Delete bool

	// Skip is called for what is neither a file, a folder nor a symbolic link
	// and therefore is not copied. If it is nil, such a thing fails with
	// [ErrSpecial].
	Skip func(path string, mode fs.FileMode)

	// Failed is called for each file and folder that could not be copied. The
	// copy goes on and ends with an [*IncompleteError]. A full disk and the
	// end of the context end it in any case. If Failed is nil, the first
	// failure ends the copy.
	Failed func(err error)

	// Changed is called for a file that was written to while it was copied,
	// with how that shows. One that became shorter fails.
	Changed func(path, how string)

	// Deleted is called for what Delete has removed.
	Deleted func(path string)

	files, folders, bytes, found     atomic.Int64
	equalBytes                       atomic.Int64
	seen, equal, failures, deletions atomic.Int64
	walked                           atomic.Bool
	current                          atomic.Pointer[entry]
	flow                             *weir.Flow
	job                              *job
}

// ErrSpecial is the error of a copy that meets a device, a socket or a named
// pipe.
var ErrSpecial = errors.New("not a file, folder or symbolic link")

// ErrInside is the error of a copy into a folder that it copies.
var ErrInside = errors.New("destination is inside the source")

// ErrAppeared is the error of a copy to a name that was free when the copy began,
// and that something else has when it ends. The copy is discarded, and what has
// the name is as it was.
var ErrAppeared = errors.New("something else has taken this name since the copy began")

// IncompleteError is the error of a copy that went on after failures. The
// destination has all the rest.
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

// Progress is how far a copy is.
type Progress struct {
	Files, Folders int64 // done; symbolic links count as files
	Bytes          int64 // done
	Found          int64 // bytes of the files opened so far
	FilesFound     int64 // files found so far
	Equal          int64 // of Files, those that the destination had already
	EqualBytes     int64 // of Bytes, those in files that the destination had already
	Failed         int64 // files and folders that could not be copied
	Deleted        int64 // files removed, and folders with all that was in them
	Walked         bool  // FilesFound is all there is
}

// Progress returns how far the copy is. It may be called at any time, by any
// goroutine.
func (c *Copy) Progress() Progress {
	return Progress{
		Files: c.files.Load(), Folders: c.folders.Load(), Bytes: c.bytes.Load(), Found: c.found.Load(), EqualBytes: c.equalBytes.Load(),
		FilesFound: c.seen.Load(), Equal: c.equal.Load(), Failed: c.failures.Load(), Deleted: c.deletions.Load(),
		Walked: c.walked.Load(),
	}
}

// Merges reports whether the copy goes straight to To, so that the files copied
// so far are there while it runs and after a failure. It may be called when Run
// has returned.
func (c *Copy) Merges() bool { return c.job != nil && c.job.merge }

// Current returns the path below From of a file that is being copied, and ""
// before the first. It may be called at any time, by any goroutine.
func (c *Copy) Current() string {
	e := c.current.Load()
	if e == nil {
		return ""
	}
	return filepath.Join(e.in.path(), e.name)
}

const (
	// inFlight is how many files may wait to be copied; each may hold the two
	// descriptors of its folder.
	inFlight = 256

	// bufferSize is what a worker reads a file into. Longer files are copied
	// by the kernel where it can.
	bufferSize = 128 << 10
)

func (c *Copy) workers() int {
	if c.Workers > 0 {
		return c.Workers
	}
	return 2 * runtime.GOMAXPROCS(0)
}

// Flow returns the flow that does the work, for its report, its watcher and
// its ceiling. It is run by [Copy.Run], not by itself.
func (c *Copy) Flow() *weir.Flow {
	if c.flow != nil {
		return c.flow
	}
	c.job = newJob(c)
	found := weir.Generate("walk", c.job.walk).Async(weir.Items(inFlight))
	copied := weir.MapContext(found, c.job.copy, weir.Workers(c.workers()), weir.Unordered()).Named("copy")
	c.flow = copied.To(weir.Discard[int64]())
	c.flow.Name = "copy " + c.From
	return c.flow
}

// Memory returns the most that the workers hold beside the pipes of the flow,
// in bytes.
func (c *Copy) Memory() int64 {
	n := int64(bufferSize)
	if c.Checksum {
		n *= 2
	}
	return int64(c.workers()) * n
}

// Run copies, and returns when nothing of it goes on any more. Unless Failed
// keeps it going, after a failure a folder that did not exist before does not
// exist, and one that did holds the files that were copied before. Errors name
// the path.
func (c *Copy) Run(ctx context.Context) error {
	flow := c.Flow()
	if err := c.job.begin(); err != nil {
		return fmt.Errorf("copy %s: %w", c.From, err)
	}
	return c.job.end(ctx, flow.Run(ctx))
}
