package s3

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"sync"
	"sync/atomic"

	"github.com/weir-go/weir"
	"github.com/weir-go/weir/endpoint"
	"github.com/weir-go/weir/tree"
)

// Copy copies a folder to an object store, or a prefix of keys to a folder. Set
// its fields before Flow or Run. A Copy is for one run and must not be copied
// after that. Its functions are called by one goroutine at a time. Of the
// methods of the Copy they can call only Progress and Current.
//
// The key of a file is the prefix followed by the path of the file, with
// slashes. Copy skips files that are equal on both sides. File and object are
// equal if they have the same length and one of these holds: the object was
// written after the last change of the file (to a store); the file has the time
// of the object (to a folder); the ETag of the object is the MD5 of the file's
// contents. A downloaded file gets the time of its object. Folders without
// files, permissions, owners and symbolic links are not copied.
//
// After a failure, each file and each object is complete or as it was before.
// Copy lists both sides in the order of their keys. It holds 1,000 keys of the
// store in memory at a time, and the names in one local folder and in the
// folders around it.
type Copy struct {
	// From and To are the source and the destination. One is an s3:// URL that
	// ends in a slash, the other is the path of a folder.
	From, To string

	// Store has the settings that the URL does not set.
	Store Store

	// HTTP has the options for requests to the store. Header and Answer are not
	// used.
	HTTP endpoint.HTTPOptions

	// Workers is how many files are copied at a time. Zero means 8. If there are
	// several, one of them at a time reads a large object as several ranges.
	Workers int

	// Exclude lists patterns of files and folders to leave out, as in [tree.Copy].
	Exclude []string

	// Delete removes files or objects from To that From does not have, after
	// everything has been copied. It keeps those that Exclude matches. After a
	// failure it removes nothing.
	Delete bool

	// NoClobber makes every file or object that exists with other contents a
	// failure that matches [fs.ErrExist]. It stays as it is.
	NoClobber bool

	// Checksum compares contents instead of times.
	Checksum bool

	// Skip, if not nil, is called for everything in a folder that is not copied
	// because it is neither a file nor a folder.
	Skip func(path string, mode fs.FileMode)

	// Failed is called for each file that could not be copied, and for each key
	// that cannot be the name of a file. The copy then continues, and Run returns
	// a [*tree.IncompleteError]. A failure that every further file would meet,
	// such as a full disk, always ends the copy. If Failed is nil, the first
	// failure ends it.
	Failed func(err error)

	// Changed, if not nil, is called for a file that was written to while it was
	// copied; how describes the change.
	Changed func(path, how string)

	// Deleted, if not nil, is called for each file or object that Delete has
	// removed.
	Deleted func(path string)

	files, bytes, found, seen, equal, equalBytes, failures, deletions atomic.Int64

	walked  atomic.Bool
	current atomic.Pointer[string]
	flow    *weir.Flow
	job     *job
	telling sync.Mutex // held while a function of the user runs

	mu    sync.Mutex // guards first
	first error      // the first failure that did not end the flow
}

// ErrName is the error for a key that cannot be the name of a file.
var ErrName = errors.New("object key is not a valid file name")

// ErrCollision is the error for an object if the local file system treats its
// name as the name of another file.
var ErrCollision = errors.New("name is taken by another file, or by one whose name the file system treats as equal")

// Progress returns how far the copy is. It can be called at any time, by any
// goroutine.
func (c *Copy) Progress() tree.Progress {
	equal := c.equalBytes.Load() // before Bytes, which it is a part of
	return tree.Progress{
		Files: c.files.Load(), Bytes: c.bytes.Load(), Found: c.found.Load(), EqualBytes: equal, FilesFound: c.seen.Load(),
		Equal: c.equal.Load(), Failed: c.failures.Load(), Deleted: c.deletions.Load(), Walked: c.walked.Load(),
	}
}

// Current returns the path of a file that is being copied, and "" before the
// first. It can be called at any time, by any goroutine.
func (c *Copy) Current() string {
	if p := c.current.Load(); p != nil {
		return *p
	}
	return ""
}

// inFlight is the largest number of files that wait to be copied.
const inFlight = 256

// listing is about the most memory that a page of keys takes.
const listing = 4 << 20

// perWorker is the memory of a worker: a buffer, and the memory that a request
// takes.
const perWorker = 512 << 10

func (c *Copy) workers() int {
	if c.Workers > 0 {
		return c.Workers
	}
	return 8
}

// Memory returns about how many bytes the listing and the workers hold in
// addition to the pipes of the flow.
func (c *Copy) Memory() int64 {
	n := listing + int64(c.workers())*perWorker
	if u, err := parseURL(c.From); err == nil && c.workers() > 1 {
		if a, err := c.Store.parse(u); err == nil && a.store.rangesAtOnce() > 1 {
			n += int64(a.store.rangesAtOnce()) * rangeSize
		}
	}
	return n
}

// Flow returns the flow that does the work, for its report and its ceiling. Do
// not run it directly: [Copy.Run] does.
func (c *Copy) Flow() *weir.Flow {
	if c.flow != nil {
		return c.flow
	}
	c.job = &job{Copy: c, wide: make(chan struct{}, 1)}
	found := weir.Generate("list", c.job.list).Async(weir.Items(inFlight))
	copied := weir.MapContext(found, c.job.copy, weir.Workers(c.workers()), weir.Unordered()).Named("store")
	c.flow = copied.To(weir.Discard[int64]())
	c.flow.Name = "copy " + c.From
	return c.flow
}

// Run copies the files and returns when all its goroutines have ended.
func (c *Copy) Run(ctx context.Context) error {
	flow := c.Flow()
	if err := c.job.begin(ctx, true); err != nil {
		return err
	}
	defer c.job.end()
	err := flow.Run(ctx)
	failed, first := c.failures.Load(), c.firstFailure()
	if err == nil && failed == 0 && c.Delete {
		err = c.job.remove(ctx)
	}
	if err != nil && c.job.made {
		os.Remove(c.job.dir) // if nothing is in it
	}
	if err == nil && failed > 0 {
		err = &tree.IncompleteError{Failed: failed, First: first}
	}
	return err
}

// Plan compares both sides and changes neither. It is for a Copy that is not run.
func (c *Copy) Plan(ctx context.Context) (tree.Plan, error) {
	j := &job{Copy: c}
	var p tree.Plan
	if err := j.begin(ctx, false); err != nil {
		return p, err
	}
	defer j.end()
	err := j.join(ctx, func(e entry) error {
		switch {
		case e.isExtra(j.down):
			if c.Delete {
				p.Delete = append(p.Delete, e.rel)
			}
		case e.bad != nil:
			return j.report(ctx, e.bad)
		default:
			equal, err := j.isEqual(&e.item)
			switch {
			case err != nil:
				return j.report(ctx, err)
			case equal:
				p.Equal++
			default:
				p.Files++
				p.Bytes += e.size(j.down)
			}
		}
		return nil
	})
	return p, err
}

func (c *Copy) firstFailure() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.first
}

// tell calls a function of the user, one at a time.
func (c *Copy) tell(f func()) {
	c.telling.Lock()
	defer c.telling.Unlock()
	f()
}

// report takes note of a failure. It returns err if that ends the copy.
func (c *Copy) report(ctx context.Context, err error) error {
	if err == nil {
		return nil
	}
	if c.Failed == nil || ctx.Err() != nil || hopeless(err) {
		return err
	}
	c.mu.Lock()
	if c.first == nil {
		c.first = err
	}
	c.mu.Unlock()
	c.failures.Add(1)
	c.tell(func() { c.Failed(err) })
	return nil
}
