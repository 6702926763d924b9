package tree

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"time"

	"golang.org/x/time/rate"

	"github.com/weir-go/weir/internal/atomicfile"
	"github.com/weir-go/weir/internal/errno"
)

// job is one run of a Copy.
type job struct {
	*Copy
	to       string // the folder that is written: Copy.To, or a temporary name beside it
	merge    bool   // files go directly to To
	held     *os.File
	exclude  []pattern
	buffers  sync.Pool
	limit    *rate.Limiter // nil: none
	top      *folder
	telling  sync.Mutex // held while a function of the user runs
	linkable links

	mu    sync.Mutex // guards what follows
	open  map[*folder]struct{}
	first error   // the first failure that did not end the flow
	extra []extra // entries that the source does not have
}

func newJob(c *Copy) *job {
	j := &job{
		Copy:    c,
		buffers: sync.Pool{New: func() any { b := make([]byte, bufferSize); return &b }},
		open:    map[*folder]struct{}{},
	}
	if c.Rate > 0 {
		// After a stall of up to 0.2 s the copy catches up.
		burst := max(bufferSize, int(min(c.Rate/5, 1<<30)))
		j.limit = rate.NewLimiter(rate.Limit(c.Rate), burst)
	}
	return j
}

// begin opens both ends.
func (j *job) begin() error {
	var err error
	if j.exclude, err = parsePatterns(j.Exclude); err != nil {
		return err
	}
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
	existed := err == nil
	switch {
	case existed && !st.IsDir():
		return &WriteError{to, ErrFile}
	case existed:
		j.merge, j.to = true, to
	case !errors.Is(err, fs.ErrNotExist):
		return &WriteError{to, errno.Bare(err)}
	case isLink(to):
		return &WriteError{to, atomicfile.ErrDangling}
	case j.KeepPartial || j.Resume:
		j.merge, j.to = true, to
		if err := os.Mkdir(to, j.initial(from.Mode().Perm()|0o700)); err != nil {
			return &WriteError{to, errno.Bare(err)}
		}
	default:
		if err := j.makeTemp(to, j.initial(from.Mode().Perm()|0o700)); err != nil {
			return &WriteError{to, errno.Bare(err)}
		}
	}
	src, err := os.OpenRoot(j.From)
	if err != nil {
		return errors.Join(err, j.undo())
	}
	dst, err := os.OpenRoot(j.to)
	if err != nil {
		return errors.Join(&WriteError{to, errno.Bare(err)}, src.Close(), j.undo())
	}
	j.top = &folder{job: j, src: src, dst: dst, name: ".", info: from, existed: existed}
	j.opened(j.top)
	if j.limit != nil { // nothing has been missed yet
		j.limit.AllowN(time.Now(), j.limit.Burst())
	}
	return nil
}

func isLink(name string) bool {
	st, err := os.Lstat(name)
	return err == nil && st.Mode()&fs.ModeSymlink != 0
}

// makeTemp creates the temporary folder and keeps it locked, so that no sweep
// removes it.
func (j *job) makeTemp(to string, perm fs.FileMode) error {
	held, err := atomicfile.Temp(func() (*os.File, error) {
		j.to = filepath.Join(filepath.Dir(to), atomicfile.TempName(filepath.Base(to)))
		if err := os.Mkdir(j.to, perm); err != nil {
			return nil, err
		}
		return os.Open(j.to)
	}, os.Lstat)
	if err != nil {
		return err
	}
	if !atomicfile.Sweeps { // an open folder cannot be renamed there
		return held.Close()
	}
	j.held = held
	return nil
}

// end closes everything that is open, and renames the copy to its name or
// removes it.
func (j *job) end(ctx context.Context, err error) error {
	j.mu.Lock()
	for f := range j.open { // folders that were found but not copied because of a failure
		f.src.Close()
		f.dst.Close()
	}
	failed, first := j.failures.Load(), j.first
	if err == nil && j.Failed == nil {
		err = first
	}
	j.mu.Unlock()
	if j.held != nil {
		defer j.held.Close()
	}
	if err == nil && failed == 0 && j.merge && j.Delete {
		err = j.remove(ctx)
	}
	if err == nil && j.Durable {
		err = syncAll(j.to)
	}
	if !j.merge {
		if err == nil {
			err = j.name()
		}
		if err != nil {
			return errors.Join(err, j.undo())
		}
		if j.Durable {
			err = atomicfile.SyncDir(filepath.Dir(filepath.Clean(j.To)))
		}
	}
	if err == nil && failed > 0 {
		err = &IncompleteError{failed, first}
	}
	return err
}

// name gives a new copy its name.
func (j *job) name() error {
	err := os.Rename(j.to, j.To)
	if err == nil {
		return nil
	}
	if _, lerr := os.Lstat(j.To); lerr == nil {
		return &WriteError{Path: j.To, Err: ErrAppeared}
	}
	return &WriteError{Path: j.To, Err: errno.Bare(err)}
}

func (j *job) undo() error {
	if j.merge {
		return nil
	}
	if j.held != nil {
		defer j.held.Close()
	}
	return os.RemoveAll(j.to)
}

// report records a failure. It returns err if the failure ends the copy.
func (j *job) report(ctx context.Context, err error) error {
	if err == nil {
		return nil
	}
	if end := (*ending)(nil); errors.As(err, &end) {
		return end.err
	}
	if j.Failed == nil || ctx.Err() != nil || hopeless(err) {
		return err
	}
	j.fail(err)
	return nil
}

func (j *job) fail(err error) {
	j.mu.Lock()
	if j.first == nil {
		j.first = err
	}
	j.mu.Unlock()
	j.failures.Add(1)
	if j.Failed != nil {
		j.tell(func() { j.Failed(err) })
	}
}

// tell calls a function of the user, one at a time.
func (j *job) tell(f func()) {
	j.telling.Lock()
	defer j.telling.Unlock()
	f()
}

// hopeless reports whether every further file would fail with err too.
func hopeless(err error) bool {
	var we *WriteError
	return errors.As(err, &we) &&
		(errno.Is(err, syscall.ENOSPC) || errors.Is(err, syscall.EDQUOT) || errors.Is(err, syscall.EROFS))
}

// opened registers f as open, with one reference, which its walk holds.
func (j *job) opened(f *folder) {
	f.refs.Store(1)
	j.mu.Lock()
	defer j.mu.Unlock()
	j.open[f] = struct{}{}
}

func (j *job) closed(f *folder, err error) {
	j.mu.Lock()
	delete(j.open, f)
	j.mu.Unlock()
	if err != nil {
		j.fail(err)
	}
}

// outside returns ErrInside if to is in from, also through symbolic links.
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

// resolve returns the absolute path of name, with symbolic links resolved in
// the part that exists.
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
