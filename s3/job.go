package s3

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"iter"
	"net/http"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/minio/minio-go/v7"

	"github.com/weir-go/weir/internal/atomicfile"
	"github.com/weir-go/weir/internal/carry"
	"github.com/weir-go/weir/internal/errno"
	"github.com/weir-go/weir/internal/lock"
	"github.com/weir-go/weir/internal/stamp"
	"github.com/weir-go/weir/tree"
)

// job is one run of a Copy.
type job struct {
	*Copy
	down    bool // from the store to the folder
	at      address
	c       *client
	dir     string
	again   bool     // the folder was walked before, and Skip was called then
	made    bool     // the folder did not exist
	root    *os.Root // nil: the folder does not exist, in a plan
	exclude tree.Patterns
	buffers sync.Pool
	wide    chan struct{} // has room for one worker that reads several ranges at a time
}

// begin opens both ends. make says whether to create the destination folder.
func (j *job) begin(ctx context.Context, make bool) error {
	j.down = IsFolder(j.From)
	remote, local := j.To, j.From
	if j.down {
		remote, local = j.From, j.To
	}
	j.dir = local
	j.buffers.New = func() any { return new([128 << 10]byte) }
	var err error
	if j.exclude, err = tree.ParsePatterns(j.Exclude); err != nil {
		return err
	}
	if !IsFolder(remote) || IsFolder(local) {
		return fmt.Errorf("s3: copy %s to %s: one of them must be a folder, the other s3://bucket/prefix/", j.From, j.To)
	}
	u, err := parseURL(remote)
	if err != nil {
		return err
	}
	if j.at, err = j.Store.parse(u); err != nil {
		return err
	}
	if err := j.at.store.check(); err != nil {
		return err
	}
	if j.down && make {
		if _, err := os.Lstat(local); errors.Is(err, fs.ErrNotExist) {
			j.made = true
		}
		if err := os.MkdirAll(local, 0o777); err != nil {
			return &tree.WriteError{Path: local, Err: errno.Bare(err)}
		}
	}
	j.root, err = os.OpenRoot(local)
	switch {
	case err != nil && j.down && !make && errors.Is(err, fs.ErrNotExist):
	case err != nil && j.down:
		return &tree.WriteError{Path: local, Err: errno.Bare(err)}
	case err != nil:
		return err
	}
	if j.c, err = newClient(j.at, j.HTTP); err != nil {
		j.end()
		return j.remoteError(j.at.String(), err)
	}
	if !j.down && make {
		j.c.sweep(ctx, j.at.key, j.writes)
	}
	return nil
}

func (j *job) end() {
	if j.root != nil {
		j.root.Close()
	}
	if j.c != nil {
		j.c.close()
	}
}

// remoteError says that the store is where err comes from.
func (j *job) remoteError(url string, err error) error {
	if err == nil || j.down {
		return err
	}
	return &tree.WriteError{Path: url, Err: &shorn{err}}
}

// localError says that the folder is where err comes from.
func (j *job) localError(rel string, err error) error {
	if err == nil {
		return nil
	}
	name := filepath.Join(j.dir, filepath.FromSlash(rel))
	if j.down {
		return &tree.WriteError{Path: name, Err: errno.Bare(err)}
	}
	return &fs.PathError{Op: "read", Path: name, Err: errno.Bare(err)}
}

// shorn is an error of a store without the operation and the URL, which the
// sentence around it says.
type shorn struct{ error }

func (s *shorn) Error() string {
	var e *Error
	if errors.As(s.error, &e) {
		return strings.TrimPrefix(s.error.Error(), e.Op+" "+e.URL+": ")
	}
	return s.error.Error()
}

func (s *shorn) Unwrap() error { return s.error }

// item is a file, an object, or both under the same name.
type item struct {
	rel    string // the path below the folder, and the key behind the prefix
	file   *file
	object *object
}

// entry is an item that was found.
type entry struct {
	item
	bad error // why it cannot be copied
}

// isExtra reports whether only the destination has e.
func (e entry) isExtra(down bool) bool {
	return e.bad == nil && (down && e.object == nil || !down && e.file == nil)
}

// size is the length of the source.
func (e item) size(down bool) int64 {
	if down {
		return e.object.size
	}
	return e.file.size
}

// file has the properties of a file in a folder.
type file struct {
	size              int64
	modified, changed time.Time // changed: contents, owner, mode or names, if the system reports it
}

// object has the properties of a key in a listing.
type object struct {
	size     int64
	etag     string
	modified time.Time
}

// page is how many keys are listed by one request.
const page = 1000

// parent returns the folder of a path, "." for the top.
func parent(rel string) string { return path.Dir(rel) }

// checkName says why the part of a key behind the prefix cannot be the path of a
// file below a folder, or returns nil.
func checkName(rel string) error {
	bad := func(why string) error { return fmt.Errorf("%w: %s", ErrName, why) }
	switch {
	case strings.HasSuffix(rel, "/"):
		return bad("it ends in a slash")
	case strings.ContainsRune(rel, 0):
		return bad("it contains a zero byte")
	case strings.HasPrefix(rel, "/"):
		return bad("it begins with a slash")
	}
	for part := range strings.SplitSeq(rel, "/") {
		switch {
		case part == "":
			return bad("it has two slashes in a row")
		case part == "." || part == "..":
			return bad(`it contains "` + part + `"`)
		case len(part) > 255:
			return bad("it contains a name of more than 255 bytes")
		}
	}
	if local, err := filepath.Localize(rel); err != nil || !filepath.IsLocal(local) {
		return bad("this system does not allow it")
	}
	return nil
}

// hopeless reports whether err is one that every further file would meet.
func hopeless(err error) bool {
	var e *Error
	if errors.As(err, &e) {
		switch e.Code {
		case "NoSuchBucket", "InvalidAccessKeyId", "XAdminUserNotFound", "SignatureDoesNotMatch", "RequestTimeTooSkewed", "ExpiredToken", codeNoCredentials:
			return true
		}
		return e.StatusCode == 0 || e.StatusCode == http.StatusServiceUnavailable
	}
	var we *tree.WriteError
	return errors.As(err, &we) &&
		(errno.Is(err, syscall.ENOSPC) || errors.Is(err, syscall.EDQUOT) || errors.Is(err, syscall.EROFS))
}

// isExcluded reports whether a file, or a folder that it is in, is left out.
func (j *job) isExcluded(rel string) bool {
	for i, r := range rel {
		if r == '/' && i > 0 && j.exclude.Match(rel[:i], true) {
			return true
		}
	}
	return rel != "" && j.exclude.Match(rel, false)
}

// writes reports whether the copy writes this key to the store.
func (j *job) writes(key string) bool {
	rel, ok := strings.CutPrefix(key, j.at.key)
	if !ok || checkName(rel) != nil || j.isExcluded(rel) {
		return false
	}
	info, err := j.root.Lstat(filepath.FromSlash(rel))
	return err == nil && info.Mode().IsRegular()
}

// key returns the key of a file.
func (j *job) key(rel string) string { return j.at.key + rel }

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
		j.equalBytes.Add(n)
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
	equal, err := matchesETag(j.at.store, f, e.object.size, e.object.etag)
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
	d := newDownload(ctx, j.c, j.key(e.rel), of, 0, ranges, j.at.store.Parallel > 0, false)
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
		part: j.at.store.partSize(size, filePart), atOnce: cmp.Or(j.at.store.Parallel, treeParts),
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

// objects lists the keys behind the prefix, in order. An error is the last value.
func (j *job) objects(ctx context.Context) iter.Seq2[entry, error] {
	return func(yield func(entry, error) bool) {
		last, more := "", true
		for more {
			list, err := j.page(ctx, last)
			if err == nil && len(list) == 0 && last == "" && j.down {
				// With Delete, a wrong prefix would empty the folder.
				err = &Error{Op: "read", URL: j.at.String(), Code: codeEmpty, StatusCode: http.StatusNotFound}
			}
			if err != nil {
				yield(entry{}, j.remoteError(j.at.String(), err))
				return
			}
			more = len(list) == page
			for _, info := range list {
				if info.Key <= last {
					yield(entry{}, j.remoteError(j.at.String(), fmt.Errorf("the store does not list keys in order: %q follows %q", info.Key, last)))
					return
				}
				last = info.Key
				rel := strings.TrimPrefix(info.Key, j.at.key)
				if rel == "" || strings.HasSuffix(rel, "/") && info.Size == 0 || j.isExcluded(rel) {
					continue // a mark that there is a folder
				}
				e := entry{item: item{rel: rel, object: &object{info.Size, strings.Trim(info.ETag, `"`), info.LastModified}}}
				if err := checkName(rel); err != nil {
					e.bad = fmt.Errorf("%s: %w", j.c.url(info.Key), err)
				}
				if !yield(e, nil) {
					return
				}
			}
		}
	}
}

// page lists the keys that follow last.
func (j *job) page(ctx context.Context, last string) (list []minio.ObjectInfo, err error) {
	err = j.c.request(ctx, "list", j.at.key, false, func(ctx context.Context) error {
		list = list[:0]
		for info := range j.c.core.ListObjectsIter(ctx, j.c.bucket, minio.ListObjectsOptions{
			Prefix: j.at.key, Recursive: true, MaxKeys: page, StartAfter: last,
		}) {
			if info.Err != nil {
				return info.Err
			}
			if list = append(list, info); len(list) == page {
				break
			}
		}
		return ctx.Err() // when it ends, the listing just stops
	})
	return list, err
}

// local lists the files of the folder, in the order of their keys. Folders that
// cannot be read are reported.
func (j *job) local(ctx context.Context) iter.Seq2[entry, error] {
	return func(yield func(entry, error) bool) {
		if j.root != nil {
			j.walk(ctx, ".", yield)
		}
	}
}

// walk lists one folder, and reports whether to continue.
func (j *job) walk(ctx context.Context, dir string, yield func(entry, error) bool) bool {
	if j.down {
		if sub, err := j.root.OpenRoot(dir); err == nil {
			atomicfile.Sweep(sub)
			sub.Close()
		}
	}
	list, err := fs.ReadDir(j.root.FS(), dir)
	if err != nil {
		err = j.localError(dir, err)
		if dir != "." {
			err = j.report(ctx, err)
		}
		if err != nil {
			yield(entry{}, err)
			return false
		}
		return true
	}
	order := func(d fs.DirEntry) string {
		if d.IsDir() {
			return d.Name() + "/" // so that a folder is where the keys of its files are
		}
		return d.Name()
	}
	slices.SortFunc(list, func(a, b fs.DirEntry) int { return cmp.Compare(order(a), order(b)) })
	for _, d := range list {
		if ctx.Err() != nil {
			yield(entry{}, context.Cause(ctx))
			return false
		}
		rel := path.Join(dir, d.Name())
		switch {
		case atomicfile.IsTemp(d.Name()) || j.exclude.Match(rel, d.IsDir()):
		case d.IsDir():
			if !j.walk(ctx, rel, yield) {
				return false
			}
		case d.Type().IsRegular():
			e := entry{item: item{rel: rel}}
			switch info, err := d.Info(); {
			case errors.Is(err, fs.ErrNotExist):
				continue
			case err != nil:
				e.file, e.bad = &file{}, j.localError(rel, err)
			default:
				e.file = &file{info.Size(), info.ModTime(), stamp.Of(info).Changed}
			}
			if !yield(e, nil) {
				return false
			}
		case !j.down && j.Skip != nil && !j.again:
			j.tell(func() { j.Skip(j.localName(rel), d.Type()) })
		}
	}
	return true
}

// join compares both sides, in order.
func (j *job) join(ctx context.Context, visit func(entry) error) error {
	nextFile, stopFiles := iter.Pull2(j.local(ctx))
	defer stopFiles()
	nextObject, stopObjects := iter.Pull2(j.objects(ctx))
	defer stopObjects()
	file, err, isFile := nextFile()
	if err != nil {
		return err
	}
	obj, err, isObject := nextObject()
	for err == nil && (isFile || isObject) {
		e := file
		takeFile := isFile && (!isObject || file.rel <= obj.rel)
		takeObject := isObject && (!isFile || obj.rel <= file.rel)
		if takeObject {
			e = obj
			if takeFile {
				e.file = file.file
				e.bad = cmp.Or[error](e.bad, file.bad)
			}
		}
		if err := visit(e); err != nil {
			return err
		}
		if takeFile {
			if file, err, isFile = nextFile(); err != nil {
				return err
			}
		}
		if takeObject {
			obj, err, isObject = nextObject()
		}
	}
	return err
}

// list is the source of the flow: it emits the items to compare.
func (j *job) list(ctx context.Context, emit func([]item) error) error {
	err := j.join(ctx, func(e entry) error {
		if e.isExtra(j.down) {
			return nil
		}
		j.seen.Add(1)
		if e.bad != nil {
			return j.report(ctx, e.bad)
		}
		j.found.Add(e.size(j.down))
		return emit([]item{e.item})
	})
	j.walked.Store(err == nil)
	return err
}

// remove removes the entries that only the destination has.
func (j *job) remove(ctx context.Context) error {
	j.again = true
	return j.join(ctx, func(e entry) error {
		if !e.isExtra(j.down) {
			return nil
		}
		name := j.localName(e.rel)
		if j.down {
			if err := j.root.Remove(e.rel); err != nil && !errors.Is(err, fs.ErrNotExist) {
				return j.localError(e.rel, err)
			}
			for dir := parent(e.rel); dir != "."; dir = parent(dir) {
				if j.root.Remove(dir) != nil { // it holds something else
					break
				}
			}
		} else {
			name = j.c.url(j.key(e.rel))
			err := j.c.request(ctx, "delete", j.key(e.rel), false, func(ctx context.Context) error {
				return j.c.core.RemoveObject(ctx, j.c.bucket, j.key(e.rel), minio.RemoveObjectOptions{})
			})
			if err != nil {
				return j.remoteError(name, err)
			}
		}
		j.deletions.Add(1)
		if j.Deleted != nil {
			j.tell(func() { j.Deleted(name) })
		}
		return nil
	})
}
