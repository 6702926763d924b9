package tree

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/weir-go/weir/internal/atomicfile"
	"github.com/weir-go/weir/internal/kernelcopy"
)

// copy copies one entry and returns its bytes.
func (j *job) copy(ctx context.Context, e entry) (int64, error) {
	defer e.in.release()
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
	return n, err
}

// writing is the error of the destination's side.
func (j *job) writing(f *folder, name string, err error) error {
	var pe *fs.PathError
	var le *os.LinkError
	switch {
	case errors.As(err, &pe):
		err = pe.Err
	case errors.As(err, &le):
		err = le.Err
	}
	return &WriteError{Path: filepath.Join(j.To, f.path(), name), Err: err}
}

// WriteError is a failure to write the destination.
type WriteError struct {
	Path string
	Err  error
}

func (e *WriteError) Error() string { return fmt.Sprintf("write %s: %v", e.Path, e.Err) }

func (e *WriteError) Unwrap() error { return e.Err }

func (j *job) copyLink(e entry) error {
	target, err := e.in.src.Readlink(e.name)
	if err != nil {
		return e.in.failed(e.name, err)
	}
	return j.place(e, func(name string) error { return e.in.dst.Symlink(target, name) })
}

// place lets make create the entry: under its own name, or under a temporary
// one where something may be there already.
func (j *job) place(e entry, make func(name string) error) error {
	name := e.name
	if j.merge {
		name = atomicfile.TempName(e.name)
	}
	err := make(name)
	if err == nil && j.merge {
		err = e.in.dst.Rename(name, e.name)
	}
	if err == nil {
		return nil
	}
	if j.merge {
		e.in.dst.Remove(name) // best effort: the error is told already
	}
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
	j.found.Add(info.Size())
	if j.Resume {
		if there, err := e.in.dst.Lstat(e.name); err == nil && there.Mode().IsRegular() &&
			there.Size() == info.Size() && !there.ModTime().Before(info.ModTime()) {
			j.bytes.Add(info.Size())
			return info.Size(), nil
		}
	}
	err = j.place(e, func(name string) error {
		dst, err := e.in.dst.OpenFile(name, os.O_WRONLY|os.O_CREATE|os.O_EXCL, j.initial(info.Mode().Perm()))
		if err != nil {
			return err
		}
		if j.limit != nil || j.Verify {
			n, err = j.slow(ctx, e.in.dst, name, dst, src)
		} else {
			n, err = j.move(ctx, dst, src, info.Size())
		}
		if err == nil && j.Metadata {
			err = j.metadata(e.in, name, dst, info)
		}
		return errors.Join(err, dst.Close())
	})
	return n, err
}

// move copies the contents: a short file through memory, in two system calls,
// a long one through the kernel.
func (j *job) move(ctx context.Context, dst, src *os.File, size int64) (int64, error) {
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
	if _, err := dst.Write((*b)[:n]); err != nil {
		return 0, err
	}
	j.bytes.Add(int64(n))
	return int64(n), nil
}

func (j *job) long(ctx context.Context, dst, src *os.File) (int64, error) {
	n, err := kernelcopy.Copy(ctx, dst, src, kernelcopy.Options{Progress: func(n int64) { j.bytes.Add(n) }})
	var pe *fs.PathError
	if errors.As(err, &pe) && pe.Op == "read" {
		err = &readError{err}
	}
	return n, err
}
