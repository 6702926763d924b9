package tree

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/weir-go/weir/internal/atomicfile"
	"golang.org/x/time/rate"
)

// job is one run of a Copy.
type job struct {
	*Copy
	to      string // where the files go: Copy.To, or a temporary name beside it
	merge   bool   // To existed
	buffers sync.Pool
	limit   *rate.Limiter // nil: none
	top     *folder

	mu    sync.Mutex // guards what follows
	open  map[*folder]struct{}
	first error // of closing a folder, which no flow waits for
}

func newJob(c *Copy) *job {
	j := &job{
		Copy:    c,
		buffers: sync.Pool{New: func() any { b := make([]byte, bufferSize); return &b }},
		open:    map[*folder]struct{}{},
	}
	if c.Rate > 0 {
		// A stall of a fifth of a second is made up for.
		burst := max(bufferSize, int(min(c.Rate/5, 1<<30)))
		j.limit = rate.NewLimiter(rate.Limit(c.Rate), burst)
	}
	return j
}

// begin opens both ends.
func (j *job) begin() error {
	from, err := os.Stat(j.From)
	if err != nil {
		return err
	}
	if !from.IsDir() {
		return &fs.PathError{Op: "open", Path: j.From, Err: syscall.ENOTDIR}
	}
	to := filepath.Clean(j.To)
	if err := outside(j.From, to); err != nil {
		return err
	}
	st, err := os.Stat(to)
	switch {
	case err == nil && !st.IsDir():
		return &fs.PathError{Op: "mkdir", Path: to, Err: syscall.ENOTDIR}
	case err == nil:
		j.merge, j.to = true, to
	case errors.Is(err, fs.ErrNotExist) && (j.KeepPartial || j.Resume):
		j.merge, j.to = true, to
		if err := os.Mkdir(to, j.initial(from.Mode().Perm()|0o700)); err != nil {
			return err
		}
	case errors.Is(err, fs.ErrNotExist):
		j.to = filepath.Join(filepath.Dir(to), atomicfile.TempName(filepath.Base(to)))
		if err := os.Mkdir(j.to, j.initial(from.Mode().Perm()|0o700)); err != nil {
			return &fs.PathError{Op: "mkdir", Path: to, Err: errors.Unwrap(err)}
		}
	default:
		return err
	}
	src, err := os.OpenRoot(j.From)
	if err != nil {
		return errors.Join(err, j.undo())
	}
	dst, err := os.OpenRoot(j.to)
	if err != nil {
		return errors.Join(err, src.Close(), j.undo())
	}
	j.top = &folder{job: j, src: src, dst: dst, name: ".", info: from}
	j.opened(j.top)
	if j.limit != nil { // nothing has been missed yet
		j.limit.AllowN(time.Now(), j.limit.Burst())
	}
	return nil
}

// end closes what is open and gives the copy its name, or removes it.
func (j *job) end(err error) error {
	j.mu.Lock()
	for f := range j.open { // of what was found and not copied after a failure
		f.src.Close()
		f.dst.Close()
	}
	if err == nil {
		err = j.first
	}
	j.mu.Unlock()
	if err == nil && j.Durable {
		err = syncAll(j.to)
	}
	if j.merge {
		return err
	}
	if err == nil {
		if err = os.Rename(j.to, j.To); err == nil {
			if j.Durable {
				return atomicfile.SyncDir(filepath.Dir(filepath.Clean(j.To)))
			}
			return nil
		}
	}
	return errors.Join(err, j.undo())
}

func (j *job) undo() error {
	if j.merge {
		return nil
	}
	return os.RemoveAll(j.to)
}

// opened enters f as open, with one reference: that of its walk.
func (j *job) opened(f *folder) {
	f.refs.Store(1)
	j.mu.Lock()
	defer j.mu.Unlock()
	j.open[f] = struct{}{}
}

func (j *job) closed(f *folder, err error) {
	j.mu.Lock()
	defer j.mu.Unlock()
	delete(j.open, f)
	if j.first == nil {
		j.first = err
	}
}

// outside refuses a destination in the source, also through symbolic links.
func outside(from, to string) error {
	a, err := resolve(from)
	if err != nil {
		return err
	}
	b, err := resolve(to)
	if err != nil {
		return err
	}
	if rel, err := filepath.Rel(a, b); err == nil && (rel == "." || rel != ".." && !strings.HasPrefix(rel, ".."+string(filepath.Separator))) {
		return ErrInside
	}
	return nil
}

// resolve returns the absolute path without symbolic links of as much of name
// as exists.
func resolve(name string) (string, error) {
	name, err := filepath.Abs(name)
	if err != nil {
		return "", err
	}
	for rest := ""; ; {
		if real, err := filepath.EvalSymlinks(name); err == nil {
			return filepath.Join(real, rest), nil
		}
		dir := filepath.Dir(name)
		if dir == name {
			return filepath.Join(name, rest), nil
		}
		rest = filepath.Join(filepath.Base(name), rest)
		name = dir
	}
}
