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
	"runtime"
	"sync/atomic"

	"github.com/weir-go/weir"
)

// Copy describes the copy of a folder. Set its fields before Flow or Run; a
// Copy is for one run and must not be copied after that.
type Copy struct {
	// From is the folder to copy, To what the copy is called. If To does not
	// exist, it is whole or absent: it is built under a temporary name beside
	// it and takes its name when everything has been copied. If it is a
	// folder, the files are merged into it, each of them whole or as it was.
	From, To string

	// Workers is how many files are copied at a time. Zero means two for each
	// core.
	Workers int

	// Metadata keeps permissions whatever the umask, modification times, and
	// owners where the system allows it. Set-user-ID and set-group-ID are kept
	// only where owner and group are; extended attributes, and with them file
	// capabilities, are not copied. Without it permissions are kept as far as
	// the umask lets them, as by cp -r.
	Metadata bool

	// Durable makes Run return only when everything is on stable storage.
	Durable bool

	// Rate is how many bytes a second may be copied at most, by all workers
	// together. Zero means no limit.
	Rate int64

	// Verify reads each file back when it is written, before it takes its
	// name, and ends the copy with [weir.ErrReadBack] if it holds something
	// else than what was read.
	Verify bool

	// KeepPartial copies straight to To, so that the files that were copied
	// are still there after a failure, each of them whole.
	KeepPartial bool

	// Resume leaves out files that To has already, of the same size and not
	// older than the source's.
	Resume bool

	// Skip is called, by one goroutine, for what is neither a file, a folder
	// nor a symbolic link and therefore is not copied. If it is nil, such a
	// thing ends the copy with [ErrSpecial].
	Skip func(path string, mode fs.FileMode)

	files, folders, bytes, found atomic.Int64
	walked                       atomic.Bool
	flow                         *weir.Flow
	job                          *job
}

// ErrSpecial is the error of a copy that meets a device, a socket or a named
// pipe.
var ErrSpecial = errors.New("it is neither a file, a folder nor a symbolic link")

// ErrInside is the error of a copy into a folder that it copies.
var ErrInside = errors.New("the destination is inside the source")

// Progress is how far a copy is.
type Progress struct {
	Files, Folders int64 // done; symbolic links count as files
	Bytes          int64 // done
	Found          int64 // bytes of the files found so far
	Walked         bool  // Found is all there is
}

// Progress returns how far the copy is. It may be called at any time, by any
// goroutine.
func (c *Copy) Progress() Progress {
	return Progress{c.files.Load(), c.folders.Load(), c.bytes.Load(), c.found.Load(), c.walked.Load()}
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
	copied := weir.MapContext(found, c.job.copy, weir.Workers(c.workers()), weir.Unordered())
	c.flow = copied.To(weir.Discard[int64]())
	c.flow.Name = "copy " + c.From
	return c.flow
}

// Memory returns the most that the workers hold beside the pipes of the flow,
// in bytes.
func (c *Copy) Memory() int64 { return int64(c.workers()) * bufferSize }

// Run copies, and returns when nothing of it goes on any more. After a failure
// a folder that did not exist before does not exist, and one that did holds the
// files that were copied before. Errors name the path.
func (c *Copy) Run(ctx context.Context) error {
	flow := c.Flow()
	if err := c.job.begin(); err != nil {
		return fmt.Errorf("copy %s: %w", c.From, err)
	}
	return c.job.end(flow.Run(ctx))
}
