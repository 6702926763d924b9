package filestore

import (
	"bytes"
	"context"
	"crypto/md5"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"iter"
	"net/http"
	"strings"

	"github.com/minio/minio-go/v7"

	"github.com/weir-go/weir/s3"
	"github.com/weir-go/weir/s3/internal/access"
)

// markHeader is the header field (x-amz-meta-weir-upload) with the id of the upload that an
// object is from.
const markHeader = "weir-upload"

// object is the store's description of an object.
type object struct {
	key  string
	info minio.ObjectInfo
	mark string // the id of the upload that made it; "": none, or unknown
}

func (o object) etag() string { return strings.Trim(o.info.ETag, `"`) }

// isLost reports that a condition did not hold: another writer was first.
func isLost(err error) bool {
	var e *s3.Error
	return errors.As(err, &e) && (e.StatusCode == http.StatusPreconditionFailed || e.Code == "PreconditionFailed")
}

// isConflict reports that another request changes the same object at this moment, so that
// the store has not decided: it must be asked again.
func isConflict(err error) bool {
	var e *s3.Error
	return errors.As(err, &e) && e.StatusCode == http.StatusConflict && (e.Code == "ConditionalRequestConflict" || e.Code == "OperationAborted" || e.Code == "Conflict")
}

// isOpen reports whether a request can have had its effect although it failed with err,
// which belongs to one attempt.
func isOpen(err error) bool {
	var answer minio.ErrorResponse
	return err != nil && !(errors.As(err, &answer) && answer.StatusCode >= 400 && answer.StatusCode < 500)
}

// condition says when an object may be written.
type condition struct {
	absent bool   // no object has the key
	etag   string // the object has this ETag; "": no matter
}

func (c condition) set(o *minio.PutObjectOptions) {
	if c.absent {
		o.SetMatchETagExcept("*")
	}
	if c.etag != "" {
		o.SetMatchETag(c.etag)
	}
}

// bucket is the bucket of a store. Its methods are the requests that the store needs.
type bucket struct{ *access.Bucket }

// put writes an object with one request. open says that after an error it can be there.
func (b bucket) put(ctx context.Context, key string, body []byte, c condition, mark string) (etag string, open bool, err error) {
	sum, sha := md5.Sum(body), access.SHA256(b.Core, body)
	err = b.Request(ctx, "write", key, func(ctx context.Context) error {
		o := minio.PutObjectOptions{DisableContentSha256: true}
		if mark != "" {
			o.UserMetadata = map[string]string{markHeader: mark}
		}
		c.set(&o)
		info, err := b.Core.PutObject(ctx, b.Name, key, bytes.NewReader(body), int64(len(body)),
			base64.StdEncoding.EncodeToString(sum[:]), sha, o)
		open = open || isOpen(err)
		etag = strings.Trim(info.ETag, `"`)
		return err
	})
	return etag, open, err
}

// get reads a small object.
func (b bucket) get(ctx context.Context, key string) (data []byte, etag string, err error) {
	err = b.Request(ctx, "read", key, func(ctx context.Context) error {
		body, info, _, err := b.Core.GetObject(ctx, b.Name, key, minio.GetObjectOptions{})
		if err != nil {
			return err
		}
		defer body.Close()
		data, err = io.ReadAll(body)
		if err == nil && int64(len(data)) != info.Size {
			err = io.ErrUnexpectedEOF
		}
		etag = strings.Trim(info.ETag, `"`)
		return err
	})
	return data, etag, err
}

// head describes an object.
func (b bucket) head(ctx context.Context, key string) (o object, err error) {
	err = b.Request(ctx, "read", key, func(ctx context.Context) (err error) {
		o.info, err = b.Core.StatObject(ctx, b.Name, key, minio.StatObjectOptions{})
		return err
	})
	o.key = key
	if o.info.Metadata != nil {
		o.mark = o.info.Metadata.Get("X-Amz-Meta-" + markHeader)
	}
	return o, err
}

// remove removes an object, if it exists.
func (b bucket) remove(ctx context.Context, key string) error {
	err := b.Request(ctx, "delete", key, func(ctx context.Context) error {
		return b.Core.RemoveObject(ctx, b.Name, key, minio.RemoveObjectOptions{})
	})
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	return err
}

// removeAll removes the objects whose keys begin with prefix.
func (b bucket) removeAll(ctx context.Context, prefix string) error {
	var list []string // a listing need not show changes while it is read
	for o, err := range b.list(ctx, prefix, true) {
		if err != nil {
			return err
		}
		list = append(list, o.key)
	}
	var all error
	for _, key := range list {
		all = errors.Join(all, b.remove(ctx, key))
	}
	return all
}

// page is how many keys one request lists.
const page = 1000

// list lists the objects whose keys begin with prefix. Unless deep is set, those with a
// slash behind the prefix are summed up as one without size, whose key ends in a slash.
func (b bucket) list(ctx context.Context, prefix string, deep bool) iter.Seq2[object, error] {
	return func(yield func(object, error) bool) {
		last := ""
		for more := true; more; {
			var batch []minio.ObjectInfo
			err := b.Request(ctx, "list", prefix, func(ctx context.Context) error {
				batch = batch[:0]
				for info := range b.Core.ListObjectsIter(ctx, b.Name, minio.ListObjectsOptions{
					Prefix: prefix, Recursive: deep, MaxKeys: page, StartAfter: last,
				}) {
					if info.Err != nil {
						return info.Err
					}
					if batch = append(batch, info); len(batch) == page {
						break
					}
				}
				return ctx.Err() // when it ends, the listing just stops
			})
			if err != nil {
				yield(object{}, err)
				return
			}
			more = len(batch) == page
			from := last
			for _, info := range batch {
				if info.Key == from { // a store can begin with the folder that came last
					continue
				}
				last = max(last, info.Key)
				if !yield(object{key: info.Key, info: info}, nil) {
					return
				}
			}
			more = more && last > from
		}
	}
}

// hasAny reports whether any key begins with prefix.
func (b bucket) hasAny(ctx context.Context, prefix string) (found bool, err error) {
	err = b.Request(ctx, "list", prefix, func(ctx context.Context) error {
		for info := range b.Core.ListObjectsIter(ctx, b.Name, minio.ListObjectsOptions{Prefix: prefix, Recursive: true, MaxKeys: 1}) {
			found = info.Err == nil
			return info.Err
		}
		return ctx.Err() // when it ends, the listing just stops
	})
	return found, err
}

// whole reads an object of a size that is known.
func (b bucket) whole(ctx context.Context, key string, size int64) (io.ReadCloser, error) {
	o, err := b.head(ctx, key)
	if err != nil {
		return nil, err
	}
	if o.info.Size != size {
		return nil, fmt.Errorf("%s has %d bytes, not %d: %w", b.URL(key), o.info.Size, size, io.ErrUnexpectedEOF)
	}
	return b.Range(ctx, key, size, o.etag(), 0, size), nil
}

// copyPart makes a part of a multipart upload of an object. It is one attempt of a request.
func (b bucket) copyPart(ctx context.Context, from, key, upload string, n int) (minio.CompletePart, error) {
	part, err := b.Core.CopyObjectPart(ctx, b.Name, from, b.Name, key, upload, n, 0, -1, nil)
	if err == nil && part.ETag == "" {
		// A store can begin to answer before it has copied, and minio-go takes an error
		// that follows for a result without an ETag.
		err = minio.ErrorResponse{StatusCode: http.StatusInternalServerError, Code: "InternalError", Message: "the copy failed behind status 200"}
	}
	return part, err
}

// abort ends a multipart upload. It reports false if the store does not know it any more.
func (b bucket) abort(ctx context.Context, key, upload string) (bool, error) {
	err := b.Request(ctx, "abort upload to", key, func(ctx context.Context) error {
		return b.Core.AbortMultipartUpload(ctx, b.Name, key, upload)
	})
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	return err == nil, err
}
