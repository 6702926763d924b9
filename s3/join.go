package s3

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"iter"
	"net/http"
	"path"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/minio/minio-go/v7"

	"github.com/weir-go/weir/internal/atomicfile"
	"github.com/weir-go/weir/internal/errno"
	"github.com/weir-go/weir/internal/stamp"
	"github.com/weir-go/weir/tree"
)

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

// page is how many keys are listed by one request.
const page = 1000

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
