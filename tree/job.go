package tree

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"hash"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"syscall"
	"time"

	"golang.org/x/time/rate"

	"github.com/weir-go/weir"
	"github.com/weir-go/weir/internal/atomicfile"
	"github.com/weir-go/weir/internal/carry"
	"github.com/weir-go/weir/internal/errno"
	"github.com/weir-go/weir/internal/kernelcopy"
	"github.com/weir-go/weir/internal/lock"
	"github.com/weir-go/weir/internal/sparse"
	"github.com/weir-go/weir/internal/stamp"
	"github.com/weir-go/weir/internal/xattr"
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

	mu    sync.Mutex // guards the fields below
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

// walk emits the entries of the source, and creates each folder of the
// destination before its entries.
func (j *job) walk(ctx context.Context, emit func([]entry) error) error {
	err := j.top.walk(ctx, emit)
	j.walked.Store(err == nil)
	return err
}

// isExcluded reports whether the entry name of f is left out.
func (j *job) isExcluded(f *folder, name string, isFolder bool) bool {
	if len(j.exclude) == 0 {
		return false
	}
	return excluded(j.exclude, filepath.ToSlash(filepath.Join(f.path(), name)), isFolder)
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

// put writes all of a file.
func put(dst *os.File, b []byte, holes bool) error {
	if !holes {
		_, err := dst.Write(b)
		return err
	}
	w, err := sparse.NewWriter(dst)
	if err != nil {
		return err
	}
	if _, err := w.Write(b); err != nil {
		return err
	}
	return w.End()
}

// readBack compares the file with the digest of the bytes written to it.
func readBack(ctx context.Context, root *os.Root, name string, dst *os.File, digest hash.Hash, buf []byte) error {
	if err := dst.Sync(); err != nil {
		return err
	}
	in, err := root.Open(name)
	if err != nil {
		return err
	}
	defer in.Close()
	want := digest.Sum(nil)
	digest.Reset()
	for err == nil {
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		var n int
		n, err = in.Read(buf)
		digest.Write(buf[:n])
	}
	if err != io.EOF {
		return err
	}
	if !bytes.Equal(want, digest.Sum(nil)) {
		return weir.ErrReadBack
	}
	return nil
}

// syncAll brings a folder and everything in it to stable storage.
func syncAll(name string) error {
	return filepath.WalkDir(name, func(path string, d fs.DirEntry, err error) error {
		if err != nil || !d.IsDir() && !d.Type().IsRegular() {
			return err
		}
		if d.IsDir() {
			return atomicfile.SyncDir(path)
		}
		return syncFile(path)
	})
}

// copy copies one entry and returns its bytes.
func (j *job) copy(ctx context.Context, e entry) (int64, error) {
	defer e.in.release()
	j.current.Store(&e)
	var n int64
	var err error
	if e.link {
		err = j.copyLink(e)
	} else {
		n, err = j.copyFile(ctx, e)
	}
	if err == nil {
		j.files.Add(1)
	}
	return n, j.report(ctx, err)
}

func (j *job) copyLink(e entry) error {
	target, err := e.in.src.Readlink(e.name)
	if err != nil {
		return e.in.failed(e.name, err)
	}
	var info fs.FileInfo
	if j.Metadata {
		if info, err = e.in.src.Lstat(e.name); err != nil {
			return e.in.failed(e.name, err)
		}
	}
	if j.Resume {
		if there, err := e.in.dst.Readlink(e.name); err == nil && there == target {
			j.equal.Add(1)
			if info != nil {
				if err := keepLink(e.in.dst, e.name, info); err != nil {
					return j.writing(e.in, e.name, err)
				}
			}
			return nil
		}
	}
	return j.place(e, func(name string) error {
		if err := e.in.dst.Symlink(target, name); err != nil || info == nil {
			return err
		}
		return keepLink(e.in.dst, name, info)
	})
}

func (j *job) copyFile(ctx context.Context, e entry) (n int64, err error) {
	src, err := openPlain(e.in.src, e.name)
	if err != nil {
		return 0, e.in.failed(e.name, err)
	}
	defer src.Close()
	info, err := src.Stat()
	if err != nil {
		return 0, e.in.failed(e.name, err)
	}
	if !info.Mode().IsRegular() { // changed since it was found
		return 0, e.in.failed(e.name, ErrSpecial)
	}
	if j.Metadata {
		if l, first := j.linkable.claim(info); first {
			defer func() { l.placed(filepath.Join(e.in.path(), e.name), err) }()
		} else if l != nil {
			linked, err := j.linkTo(ctx, e, l)
			if linked || err != nil {
				return 0, err // a name is not counted as bytes
			}
		}
	}
	j.found.Add(info.Size())
	var old fs.FileInfo
	if j.merge {
		old = e.in.there(e.name)
	}
	if j.Resume && old != nil {
		equal, err := j.isEqual(ctx, e, src, info, old)
		if err != nil {
			return 0, err
		}
		if equal {
			j.equal.Add(1)
			j.equalBytes.Add(info.Size())
			j.bytes.Add(info.Size())
			return info.Size(), nil
		}
	}
	return j.write(ctx, e, src, info, old)
}

// write copies one file, which replaces old if that is not nil.
func (j *job) write(ctx context.Context, e entry, src *os.File, info, old fs.FileInfo) (n int64, err error) {
	if err := j.taken(e.in, e.name, old); err != nil {
		return 0, err
	}
	replaces := old != nil && old.Mode().IsRegular()
	if replaces {
		// Renaming over a file needs no permission to write to it. If the file is
		// write-protected, that is on purpose.
		w, err := e.in.dst.OpenFile(e.name, os.O_WRONLY|nonblock, 0)
		if errors.Is(err, fs.ErrPermission) {
			return 0, j.writing(e.in, e.name, err)
		}
		if err == nil {
			w.Close()
		}
	}
	perm := j.initial(info.Mode().Perm())
	if replaces {
		perm = 0o600 // a private file must not be open for a moment
	}
	name := e.name
	create := func() (*os.File, error) {
		if j.merge {
			name = atomicfile.TempName(e.name)
		}
		return e.in.dst.OpenFile(name, os.O_WRONLY|os.O_CREATE|os.O_EXCL, perm)
	}
	var dst *os.File
	if j.merge {
		dst, err = atomicfile.Temp(create, func(string) (fs.FileInfo, error) { return e.in.dst.Lstat(name) })
	} else {
		dst, err = create()
	}
	if err != nil {
		return 0, j.writing(e.in, e.name, err)
	}
	n, err = j.fill(ctx, e, name, dst, src, info)
	switch {
	case err != nil:
	case j.Metadata:
		err = j.metadata(e.in, name, dst, src, info)
	case replaces:
		err = atomicfile.Inherit(dst, old)
	}
	if err == nil && j.merge { // no sweep may take it before it has its name
		held, derr := lock.Dup(dst)
		if derr != nil && !errors.Is(derr, errors.ErrUnsupported) {
			err = derr
		}
		defer held.Close()
	}
	if cerr := dst.Close(); err == nil {
		err = cerr
	}
	if err == nil && j.merge {
		err = j.rename(e.in.dst, name, e.name)
	}
	return n, j.placed(e, name, err)
}

// place lets make create the entry: under its own name, or under a temporary
// one where something may be there already.
func (j *job) place(e entry, make func(name string) error) error {
	name := e.name
	if j.merge {
		name = atomicfile.TempName(e.name)
		if err := j.taken(e.in, e.name, e.in.there(e.name)); err != nil {
			return err
		}
	}
	err := make(name)
	if err == nil && j.merge {
		err = j.rename(e.in.dst, name, e.name)
	}
	if err != nil && errors.Is(err, fs.ErrExist) && !j.merge {
		return j.writing(e.in, e.name, err) // it is not ours
	}
	return j.placed(e, name, err)
}

// rename gives an entry that was made under a temporary name its own.
func (j *job) rename(dst *os.Root, temp, name string) error {
	if !j.NoClobber {
		return dst.Rename(temp, name)
	}
	err := dst.Link(temp, name)
	if err == nil {
		return dst.Remove(temp)
	}
	if errors.Is(err, fs.ErrExist) {
		return fs.ErrExist
	}
	// No links here. A file that appears between these two calls would be
	// replaced.
	if _, serr := dst.Lstat(name); errors.Is(serr, fs.ErrNotExist) {
		return dst.Rename(temp, name)
	} else if serr == nil {
		return fs.ErrExist
	}
	return err
}

// placed returns err with the end that it comes from. If err is not nil, it
// removes the new entry name.
func (j *job) placed(e entry, name string, err error) error {
	if err == nil {
		return nil
	}
	e.in.dst.Remove(name) // best effort: err is returned already
	var we *WriteError
	if errors.As(err, &we) {
		return err
	}
	var re *readError
	if errors.As(err, &re) {
		return e.in.failed(e.name, re.err)
	}
	return j.writing(e.in, e.name, err)
}

// taken returns an error if the entry called name must not replace there, which is
// nil if there is nothing to replace.
func (j *job) taken(f *folder, name string, there fs.FileInfo) error {
	switch {
	case there == nil:
		return nil
	case j.NoClobber:
		return j.writing(f, name, fs.ErrExist)
	case there.IsDir():
		return j.writing(f, name, ErrFolder)
	}
	return nil
}

// writing returns the error of the destination's side.
func (j *job) writing(f *folder, name string, err error) error {
	return &WriteError{Path: filepath.Join(j.To, f.path(), name), Err: errno.Bare(err)}
}

// fill copies the contents, and checks whether the source has changed since info
// was taken.
func (j *job) fill(ctx context.Context, e entry, name string, dst, src *os.File, info fs.FileInfo) (n int64, err error) {
	holes := sparse.Is(info)
	if j.limit != nil || j.Verify || holes && runtime.GOOS != "linux" {
		n, err = j.slow(ctx, e.in.dst, name, dst, src, holes)
	} else {
		n, err = j.move(ctx, dst, src, info.Size(), holes)
	}
	if err != nil {
		return n, err
	}
	now, err := src.Stat()
	if err != nil {
		return n, &readError{err}
	}
	how, err := carry.Compare(info, now, n)
	if err != nil {
		return n, &readError{err}
	}
	if how != "" && j.Changed != nil {
		j.tell(func() { j.Changed(filepath.Join(j.From, e.in.path(), e.name), how) })
	}
	return n, nil
}

// slow copies through memory: no faster than the limit, with a digest where the
// file is to be read back.
func (j *job) slow(ctx context.Context, root *os.Root, name string, dst, src *os.File, holes bool) (n int64, err error) {
	var w io.Writer = dst
	end := func() error { return nil }
	if holes {
		s, err := sparse.NewWriter(dst)
		if err != nil {
			return 0, err
		}
		w, end = s, s.End
	}
	b := j.buffers.Get().(*[]byte)
	defer j.buffers.Put(b)
	var digest hash.Hash
	if j.Verify {
		digest = sha256.New()
	}
	for {
		if ctx.Err() != nil {
			return n, context.Cause(ctx)
		}
		k, rerr := src.Read(*b)
		if k > 0 {
			if err := j.wait(ctx, k); err != nil {
				return n, err
			}
			if digest != nil {
				digest.Write((*b)[:k])
			}
			if _, err := w.Write((*b)[:k]); err != nil {
				return n, err
			}
			n += int64(k)
			j.bytes.Add(int64(k))
		}
		if rerr == io.EOF {
			break
		}
		if rerr != nil {
			return n, &readError{rerr}
		}
	}
	if err := end(); err != nil || digest == nil {
		return n, err
	}
	return n, readBack(ctx, root, name, dst, digest, *b)
}

// wait waits until the limit lets k bytes pass. Unlike WaitN it does not fail
// before ctx has ended.
func (j *job) wait(ctx context.Context, k int) error {
	if j.limit == nil {
		return nil
	}
	r := j.limit.ReserveN(time.Now(), k)
	timer := time.NewTimer(r.Delay())
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		r.Cancel()
		return context.Cause(ctx)
	}
}

func (j *job) long(ctx context.Context, dst, src *os.File) (int64, error) {
	n, err := kernelcopy.Copy(ctx, dst, src, kernelcopy.Options{Progress: func(n int64) { j.bytes.Add(n) }})
	var pe *fs.PathError
	if errors.As(err, &pe) && pe.Op == "read" {
		err = &readError{err}
	}
	return n, err
}

// move copies the contents: a short file through memory, in two system calls,
// a long one through the kernel.
func (j *job) move(ctx context.Context, dst, src *os.File, size int64, holes bool) (int64, error) {
	if size >= bufferSize {
		return j.long(ctx, dst, src)
	}
	b := j.buffers.Get().(*[]byte)
	defer j.buffers.Put(b)
	n := 0
	for {
		k, err := src.Read((*b)[n:])
		n += k
		if err != nil && err != io.EOF {
			return 0, &readError{err}
		}
		if err == io.EOF || int64(n) == size && n > 0 {
			break
		}
		if n == len(*b) { // it grows while we read it
			if _, err := dst.Write(*b); err != nil {
				return 0, err
			}
			j.bytes.Add(int64(n))
			more, err := j.long(ctx, dst, src)
			return int64(n) + more, err
		}
	}
	if err := put(dst, (*b)[:n], holes); err != nil {
		return 0, err
	}
	j.bytes.Add(int64(n))
	return int64(n), nil
}

// isEqual reports whether the destination has the file already, and gives it the
// metadata of the source if it lacks no more than that.
func (j *job) isEqual(ctx context.Context, e entry, src *os.File, info, there fs.FileInfo) (bool, error) {
	if !there.Mode().IsRegular() || there.Size() != info.Size() || !j.Checksum && !j.isCurrent(info, there) {
		return false, nil
	}
	if !j.Checksum && !j.Metadata {
		return true, nil
	}
	dst, err := openPlain(e.in.dst, e.name)
	if err != nil {
		return false, nil // a file that cannot be compared is replaced
	}
	defer dst.Close()
	if j.Checksum {
		same, err := j.sameContents(ctx, src, dst)
		if err != nil {
			return false, e.in.failed(e.name, err)
		}
		if !same {
			_, err := src.Seek(0, io.SeekStart)
			if err != nil {
				err = e.in.failed(e.name, err)
			}
			return false, err
		}
	}
	if j.Metadata {
		if err := j.metadata(e.in, e.name, dst, src, info); err != nil {
			return false, j.writing(e.in, e.name, err)
		}
	}
	return true, nil
}

// isCurrent reports whether a file of the same size has the time of the source,
// or was written after the source last changed.
func (j *job) isCurrent(info, there fs.FileInfo) bool {
	if there.ModTime().Equal(info.ModTime()) {
		return true
	}
	return !j.Metadata && there.ModTime().After(info.ModTime()) && !there.ModTime().Before(stamp.Of(info).Changed)
}

// sameContents compares two files, of which only a is one whose errors matter.
func (j *job) sameContents(ctx context.Context, a, b *os.File) (bool, error) {
	x, y := j.buffers.Get().(*[]byte), j.buffers.Get().(*[]byte)
	defer j.buffers.Put(x)
	defer j.buffers.Put(y)
	for {
		if ctx.Err() != nil {
			return false, context.Cause(ctx)
		}
		n, aerr := io.ReadFull(a, *x)
		m, berr := io.ReadFull(b, *y)
		if aerr != nil && aerr != io.EOF && aerr != io.ErrUnexpectedEOF {
			return false, aerr
		}
		if !bytes.Equal((*x)[:n], (*y)[:m]) || berr != nil && berr != io.EOF && berr != io.ErrUnexpectedEOF {
			return false, nil
		}
		if aerr != nil || berr != nil {
			return true, nil
		}
	}
}

// linkTo makes e another name of the file of l. It reports false if there can be
// no such link.
func (j *job) linkTo(ctx context.Context, e entry, l *link) (bool, error) {
	select { // another worker copies it now
	case <-l.done:
	case <-ctx.Done():
		return false, context.Cause(ctx)
	}
	if l.err != nil {
		return false, nil
	}
	top := j.top.dst
	if j.merge {
		is, err := top.Lstat(l.path)
		there, terr := e.in.dst.Lstat(e.name)
		if err == nil && terr == nil && os.SameFile(is, there) {
			j.equal.Add(1)
			return true, nil
		}
	}
	var refused error
	err := j.place(e, func(name string) error {
		refused = top.Link(l.path, filepath.Join(e.in.path(), name))
		return refused
	})
	if refused != nil && !errno.Is(refused, syscall.ENOSPC) {
		return false, nil
	}
	return true, err
}

// metadata gives open, the new entry name of the destination, the extended
// attributes, times, owner and permissions of src, which info describes. It
// sets the times before the owner, because only the owner may set them.
func (j *job) metadata(f *folder, name string, open, src *os.File, info fs.FileInfo) error {
	attrs, err := xattr.Read(src)
	if err != nil {
		return &readError{err}
	}
	if err := xattr.Write(open, attrs); err != nil {
		return err
	}
	if err := setTimes(f.dst, name, open, info); err != nil {
		return err
	}
	return keep(f.dst, name, open, info)
}

// initial returns the permissions with which to create a file or folder that
// will get perm. A file that will get the metadata of the source belongs to the
// user alone until it has the right owner.
func (j *job) initial(perm fs.FileMode) fs.FileMode {
	if j.Metadata {
		return perm & 0o700
	}
	return perm
}

// remove removes the entries that the source does not have.
func (j *job) remove(ctx context.Context) error {
	root, err := os.OpenRoot(j.to)
	if err != nil {
		return err
	}
	defer root.Close()
	for _, x := range j.extra {
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		if x.isCopied(root) {
			continue
		}
		_, removed, err := j.surplus(root, x.path, true)
		for _, path := range removed {
			j.deletions.Add(1)
			if j.Deleted != nil {
				j.tell(func() { j.Deleted(filepath.Join(j.To, path)) })
			}
		}
		if err != nil {
			return &WriteError{Path: filepath.Join(j.To, x.path), Err: errno.Bare(err)}
		}
	}
	return nil
}

// surplus finds what to remove at and below path, and removes it if remove is
// set: everything except excluded entries and the folders around them. all
// reports whether nothing of path remains; then paths has only path.
func (j *job) surplus(root *os.Root, path string, remove bool) (all bool, paths []string, err error) {
	st, err := root.Lstat(path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return true, nil, nil
	case err != nil:
		return false, nil, err
	case excluded(j.exclude, filepath.ToSlash(path), st.IsDir()):
		return false, nil, nil
	case !st.IsDir() || len(j.exclude) == 0:
		if remove {
			if err := root.RemoveAll(path); err != nil {
				return false, nil, err
			}
		}
		return true, []string{path}, nil
	}
	list, err := fs.ReadDir(root.FS(), filepath.ToSlash(path))
	if err != nil {
		return false, nil, err
	}
	all = true
	for _, d := range list {
		gone, in, err := j.surplus(root, filepath.Join(path, d.Name()), remove)
		paths = append(paths, in...)
		if err != nil {
			return false, paths, err
		}
		all = all && gone
	}
	if !all {
		return false, paths, nil
	}
	if remove {
		if err := root.Remove(path); err != nil {
			return false, paths, err
		}
	}
	return true, []string{path}, nil
}
