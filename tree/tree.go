// Package tree copies folders as weir flows: one goroutine walks the source,
// several copy files, and the number of files in progress is bounded.
//
// Everything is opened below an [os.Root] of the source or the destination, so
// no symbolic link in either leads out of it.
package tree

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"sync/atomic"

	"github.com/weir-go/weir"
)

// Copy copies a folder. Set its fields before Flow or Run. A Copy is for one
// run and must not be copied after that. Its functions are called by one
// goroutine at a time. Of the methods of the Copy they can call only Progress
// and Current.
type Copy struct {
	// From is the folder to copy, and To is the path of the copy. If To does not
	// exist, Run builds it under a temporary name in the same folder and renames
	// it at the end. If To is a folder, Run merges the files into it; each is then
	// complete or as it was before.
	From, To string

	// Workers is how many files are copied at a time. Zero means two for each
	// core.
	Workers int

	// Metadata keeps times, permissions whatever the umask, and owners where the
	// system allows it, also for symbolic links. It keeps hard links between the
	// copied files and, on Linux, extended attributes of users. It keeps
	// set-user-ID and set-group-ID only together with owner and group. It copies
	// neither file capabilities nor access control lists. Without Metadata, a new
	// file gets the permissions of the source, restricted by the umask, as with cp
	// -r. A file that replaces another gets the permissions of the old one. Holes
	// in files are always kept.
	Metadata bool

	// Durable makes Run return only when everything is on stable storage.
	Durable bool

	// Rate is the maximum rate of all workers together, in bytes a second. Zero
	// means no limit.
	Rate int64

	// Verify reads each file back before it gets its name. If the contents differ
	// from the bytes read from From, the file fails with [weir.ErrReadBack].
	Verify bool

	// KeepPartial copies directly to To, so that the files copied so far remain
	// after a failure. Each of them is complete.
	KeepPartial bool

	// Resume skips files that To already has: files of the same size that have the
	// modification time of the source or, without Metadata, were written after the
	// last change of the source. It copies directly to To, as KeepPartial does.
	Resume bool

	// Checksum makes Resume compare contents instead of times.
	Checksum bool

	// NoClobber makes every file that To already has a failure that matches
	// [fs.ErrExist]. The file stays as it is. This includes files that appear
	// during the copy.
	NoClobber bool

	// Exclude lists patterns of files and folders to leave out. A pattern without
	// a slash is matched against every name, and a pattern with a slash against
	// the path below From. A pattern that ends in a slash matches only folders. In
	// a pattern, * stands for any characters of a name, ? for one character, [a-z]
	// for one of a range, and ** for any number of folders. An excluded folder is
	// left out with everything in it.
	Exclude []string

	// Delete removes files and folders from To that From does not have, after
	// everything has been copied. It keeps those that Exclude matches. After a
	// failure it removes nothing.
	Delete bool

	// Skip is called for each device, socket or named pipe, because Copy does not
	// copy them. If Skip is nil, they fail with [ErrSpecial].
	Skip func(path string, mode fs.FileMode)

	// Failed is called for each file and folder that could not be copied. The copy
	// then continues, and Run returns an [*IncompleteError]. A full disk and the
	// end of the context always end the copy. If Failed is nil, the first failure
	// ends it.
	Failed func(err error)

	// Changed, if not nil, is called for a file that was written to while it was
	// copied; how describes the change. A file that became shorter fails instead.
	Changed func(path, how string)

	// Deleted, if not nil, is called for each path that Delete has removed.
	Deleted func(path string)

	files, folders, bytes, found     atomic.Int64
	equalBytes                       atomic.Int64
	seen, equal, failures, deletions atomic.Int64
	walked                           atomic.Bool
	current                          atomic.Pointer[entry]
	flow                             *weir.Flow
	job                              *job
}

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

// Progress returns how far the copy is. It can be called at any time, by any
// goroutine.
func (c *Copy) Progress() Progress {
	return Progress{
		Files: c.files.Load(), Folders: c.folders.Load(), Bytes: c.bytes.Load(), Found: c.found.Load(), EqualBytes: c.equalBytes.Load(),
		FilesFound: c.seen.Load(), Equal: c.equal.Load(), Failed: c.failures.Load(), Deleted: c.deletions.Load(),
		Walked: c.walked.Load(),
	}
}

// Merges reports whether the copy writes directly to To, so that the files
// copied so far are there during the run and after a failure. Call it after Run
// has returned.
func (c *Copy) Merges() bool { return c.job != nil && c.job.merge }

// Current returns the path below From of a file that is being copied, and ""
// before the first. It can be called at any time, by any goroutine.
func (c *Copy) Current() string {
	e := c.current.Load()
	if e == nil {
		return ""
	}
	return filepath.Join(e.in.path(), e.name)
}

const (
	// inFlight is the largest number of files that wait to be copied. Each can
	// hold the two descriptors of its folder.
	inFlight = 256

	// bufferSize is the size of the buffer that a worker reads a file into. The
	// kernel copies longer files, where it can.
	bufferSize = 128 << 10
)

func (c *Copy) workers() int {
	if c.Workers > 0 {
		return c.Workers
	}
	return 2 * runtime.GOMAXPROCS(0)
}

// Flow returns the flow that does the work, for its report and its ceiling. Do
// not run it directly: [Copy.Run] does.
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

// Memory returns the most bytes that the workers hold in addition to the pipes
// of the flow.
func (c *Copy) Memory() int64 {
	n := int64(bufferSize)
	if c.Checksum {
		n *= 2
	}
	return int64(c.workers()) * n
}

// Run copies the folder and returns when all its goroutines have ended. If a
// failure ends the copy, Run removes a To that did not exist before, unless
// KeepPartial or Resume is set. A To that existed keeps the files copied so
// far. Errors name the path.
func (c *Copy) Run(ctx context.Context) error {
	flow := c.Flow()
	if err := c.job.begin(); err != nil {
		return fmt.Errorf("copy %s: %w", c.From, err)
	}
	return c.job.end(ctx, flow.Run(ctx))
}

// Plan compares source and destination and changes neither. It fails where Run
// would fail because something cannot be read, or a name is taken. It calls
// Failed and Skip as Run does. A Copy that has planned must not run.
func (c *Copy) Plan(ctx context.Context) (Plan, error) {
	j := newJob(c)
	var err error
	if j.exclude, err = parsePatterns(c.Exclude); err != nil {
		return Plan{}, err
	}
	if err := outside(c.From, c.To); err != nil {
		return Plan{}, err
	}
	src, err := os.OpenRoot(c.From)
	if err != nil {
		return Plan{}, err
	}
	defer src.Close()
	dst, err := os.OpenRoot(c.To)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return Plan{}, err
	}
	if err == nil {
		defer dst.Close()
	}
	j.top = &folder{job: j, src: src, dst: dst, name: "."}
	p := planner{job: j}
	err = p.folder(ctx, j.top)
	slices.Sort(p.plan.Delete)
	if failed := j.failures.Load(); failed > 0 {
		p.plan.Delete = nil // after a failure Run removes nothing
		if err == nil {
			err = &IncompleteError{failed, j.first}
		}
	}
	return p.plan, err
}
