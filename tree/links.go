package tree

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"sync"
	"syscall"

	"github.com/weir-go/weir/internal/atomicfile"
	"github.com/weir-go/weir/internal/carry"
	"github.com/weir-go/weir/internal/errno"
	"github.com/weir-go/weir/internal/kernelcopy"
	"github.com/weir-go/weir/internal/lock"
	"github.com/weir-go/weir/internal/sparse"
	"github.com/weir-go/weir/internal/stamp"
)

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

// writing returns the error of the destination's side.
func (j *job) writing(f *folder, name string, err error) error {
	return &WriteError{Path: filepath.Join(j.To, f.path(), name), Err: errno.Bare(err)}
}

// WriteError is a failure to write the destination.
type WriteError struct {
	Path string
	Err  error
}

func (e *WriteError) Error() string { return fmt.Sprintf("write %s: %v", e.Path, e.Err) }

func (e *WriteError) Unwrap() error { return e.Err }

// ErrFolder is the error for a file if the destination has a folder of that
// name.
var ErrFolder = errors.New("name is taken by a folder")

// ErrFile is the error for a folder if the destination has something else of
// that name.
var ErrFile = errors.New("name is taken by a file")

// ErrLink is the error for a folder if the destination has a symbolic link of
// that name. Copy writes nothing through the link.
var ErrLink = errors.New("name is taken by a symbolic link")

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

// there describes the entry of the destination with this name. It returns nil if there
// is none.
func (f *folder) there(name string) fs.FileInfo {
	if f.dst == nil { // the destination has no such folder yet
		return nil
	}
	st, err := f.dst.Lstat(name)
	if err != nil {
		return nil
	}
	return st
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

// readError marks the failures of the source's side.
type readError struct{ err error }

func (e *readError) Error() string { return e.err.Error() }
func (e *readError) Unwrap() error { return e.err }

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

func (j *job) long(ctx context.Context, dst, src *os.File) (int64, error) {
	n, err := kernelcopy.Copy(ctx, dst, src, kernelcopy.Options{Progress: func(n int64) { j.bytes.Add(n) }})
	var pe *fs.PathError
	if errors.As(err, &pe) && pe.Op == "read" {
		err = &readError{err}
	}
	return n, err
}

// links are the files of the source that have several names.
type links struct {
	mu sync.Mutex
	m  map[fileID]*link
}

// link is a file with several names, of which the first is copied.
type link struct {
	done chan struct{} // closed when path and err are set
	path string        // below the top
	err  error
}

// claim returns the link of the file that info describes, or nil if the file
// has only one name. The first caller for a file must call placed.
func (l *links) claim(info fs.FileInfo) (ln *link, first bool) {
	id, several := idOf(info)
	if !several {
		return nil, false
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if ln, ok := l.m[id]; ok {
		return ln, false
	}
	if l.m == nil {
		l.m = map[fileID]*link{}
	}
	ln = &link{done: make(chan struct{})}
	l.m[id] = ln
	return ln, true
}

func (l *link) placed(path string, err error) {
	l.path, l.err = path, err
	close(l.done)
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
