package s3

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"time"

	"github.com/weir-go/weir/internal/atomicfile"
	"github.com/weir-go/weir/internal/carry"
	"github.com/weir-go/weir/internal/lock"
)

func (j *job) localName(rel string) string { return filepath.Join(j.dir, filepath.FromSlash(rel)) }

// copy copies one file and returns its bytes.
func (j *job) copy(ctx context.Context, e item) (int64, error) {
	j.current.Store(&e.rel)
	equal, err := j.isEqual(&e)
	if err != nil {
		return 0, j.report(ctx, err)
	}
	n := e.size(j.down)
	switch {
	case equal:
		j.equal.Add(1)
		j.bytes.Add(n)
	case j.NoClobber && e.file != nil && e.object != nil:
		err = j.exists(e)
	case j.down:
		n, err = j.fetch(ctx, e)
	default:
		n, err = j.store(ctx, e)
	}
	if err != nil {
		return 0, j.report(ctx, err)
	}
	j.files.Add(1)
	return n, nil
}

func (j *job) exists(e item) error {
	if j.down {
		return j.localError(e.rel, fs.ErrExist)
	}
	return j.remoteError(j.c.url(j.key(e.rel)), fs.ErrExist)
}

// isEqual reports whether both sides have the same contents.
func (j *job) isEqual(e *item) (bool, error) {
	if e.file == nil || e.object == nil || e.file.size != e.object.size {
		return false, nil
	}
	at, file := e.object.modified.Truncate(time.Second), e.file.modified
	if !j.Checksum {
		switch {
		case j.down && file.Equal(at):
			return true, nil
		case !j.down && at.After(file) && at.After(e.file.changed):
			return true, nil
		}
	}
	f, err := j.root.Open(e.rel)
	if err != nil {
		return false, j.localError(e.rel, err)
	}
	defer f.Close()
	equal, err := j.at.store.matchesETag(f, e.object.size, e.object.etag)
	if err != nil {
		return false, j.localError(e.rel, err)
	}
	if equal && j.down && !file.Equal(at) {
		// So that the next run need not read it. A time is no reason to fail.
		_ = j.root.Chtimes(e.rel, time.Time{}, at)
	}
	return equal, nil
}

// fetch downloads an object.
func (j *job) fetch(ctx context.Context, e item) (n int64, err error) {
	dir := parent(e.rel)
	if err := j.root.MkdirAll(dir, 0o777); err != nil {
		return 0, j.localError(e.rel, err)
	}
	name := ""
	f, err := atomicfile.Temp(func() (*os.File, error) {
		name = path.Join(dir, atomicfile.TempName(path.Base(e.rel)))
		return j.root.OpenFile(name, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o666)
	}, func(string) (fs.FileInfo, error) { return j.root.Lstat(name) })
	if err != nil {
		return 0, j.localError(e.rel, err)
	}
	defer func() {
		if err != nil {
			j.root.Remove(name) // best effort: err is returned already
		}
	}()
	n, err = j.fill(ctx, e, f)
	if err == nil && e.file != nil {
		if old, lerr := j.root.Lstat(e.rel); lerr == nil && old.Mode().IsRegular() {
			if ierr := atomicfile.Inherit(f, old); ierr != nil {
				err = j.localError(e.rel, ierr)
			}
		}
	}
	if err == nil { // no sweep may take it before it has its name
		held, derr := lock.Dup(f)
		if derr != nil && !errors.Is(derr, errors.ErrUnsupported) {
			err = j.localError(e.rel, derr)
		}
		defer held.Close()
	}
	if cerr := f.Close(); err == nil && cerr != nil {
		err = j.localError(e.rel, cerr)
	}
	if err != nil {
		return 0, err
	}
	_ = j.root.Chtimes(name, time.Time{}, e.object.modified.Truncate(time.Second))
	if err := j.name(name, e); err != nil {
		return 0, j.localError(e.rel, err)
	}
	return n, nil
}

// largeObject is the size from which on an object is read as several ranges.
const largeObject = 3 * rangeSize

// fill writes the object to the file.
func (j *job) fill(ctx context.Context, e item, f *os.File) (int64, error) {
	of, ranges := facts{size: e.object.size, etag: e.object.etag, modified: e.object.modified}, 1
	if e.object.size > largeObject && j.workers() > 1 && j.at.store.rangesAtOnce() > 1 {
		select {
		case j.wide <- struct{}{}:
			defer func() { <-j.wide }()
			// Only the answer to this request, or to one for the whole object, has the
			// checksum.
			if now, err := j.c.stat(ctx, j.key(e.rel)); err == nil && now.etag == of.etag && now.size == of.size {
				of, ranges = now, j.at.store.rangesAtOnce()
			}
		default:
		}
	}
	d := j.c.download(ctx, j.key(e.rel), of, 0, ranges, j.at.store.Parallel > 0, false)
	defer d.Close()
	buf := j.buffers.Get().(*[128 << 10]byte)
	defer j.buffers.Put(buf)
	total := int64(0)
	for {
		n, err := d.Read(buf[:])
		if n > 0 {
			if _, werr := f.Write(buf[:n]); werr != nil {
				return total, j.localError(e.rel, werr)
			}
			total += int64(n)
			j.bytes.Add(int64(n))
		}
		if err == io.EOF {
			return total, nil
		}
		if err != nil {
			return total, err
		}
	}
}

// name gives the file its name. Where the folder had no file of exactly that
// name, none may be replaced: it would be one whose name the file system takes
// for the same.
func (j *job) name(temp string, e item) error {
	if e.file != nil && !j.NoClobber {
		return j.root.Rename(temp, e.rel)
	}
	err := j.root.Link(temp, e.rel)
	if err != nil && !errors.Is(err, fs.ErrExist) { // no links here
		if _, serr := j.root.Lstat(e.rel); errors.Is(serr, fs.ErrNotExist) {
			return j.root.Rename(temp, e.rel)
		} else if serr == nil {
			err = fs.ErrExist
		}
	}
	switch {
	case errors.Is(err, fs.ErrExist) && !j.NoClobber:
		return ErrCollision
	case err != nil:
		return err
	}
	return j.root.Remove(temp)
}

// store uploads a file. Its parts are read from the file again where that is
// needed, so they take no memory.
func (j *job) store(ctx context.Context, e item) (int64, error) {
	f, err := j.root.Open(e.rel)
	if err != nil {
		return 0, j.localError(e.rel, err)
	}
	defer f.Close()
	info, err := f.Stat()
	if err == nil && !info.Mode().IsRegular() {
		err = errors.New("no longer a file")
	}
	if err != nil {
		return 0, j.localError(e.rel, err)
	}
	key, size := j.key(e.rel), info.Size()
	up := &fileUpload{
		c: j.c, key: key, exclusive: j.NoClobber, content: f, size: size,
		part: j.at.store.partSize(size), atOnce: j.at.store.partsAtOnce(size),
		count: func(n int64) { j.bytes.Add(n) },
	}
	err = up.run(ctx)
	if pe := (*fs.PathError)(nil); errors.As(err, &pe) {
		return 0, j.localError(e.rel, err)
	}
	if now, serr := f.Stat(); serr == nil {
		how, cerr := carry.Compare(info, now, size)
		switch {
		case cerr != nil:
			return 0, j.localError(e.rel, cerr)
		case how != "" && err != nil:
			return 0, j.localError(e.rel, fmt.Errorf("it %s while it was copied", how))
		case how != "" && j.Changed != nil:
			j.tell(func() { j.Changed(j.localName(e.rel), how) })
		}
	}
	if err != nil {
		return 0, j.remoteError(j.c.url(key), err)
	}
	return size, nil
}
