package s3

import (
	"context"
	"errors"
	"io/fs"
	"iter"
	"time"

	"github.com/minio/minio-go/v7"
)

// stale is the age at which an unfinished upload counts as abandoned.
const stale = 24 * time.Hour

// sweep removes multipart uploads to keys that begin with prefix which a killed
// process of ours has left. It ignores errors: a failed sweep is no reason for
// an upload to fail. writes reports whether the caller writes a key.
func (c *client) sweep(ctx context.Context, prefix string, writes func(key string) bool) {
	ctx, cancel := context.WithTimeout(ctx, cleanup)
	defer cancel()
	_ = c.sweepUntil(ctx, prefix, time.Now().Add(-stale), func(key string, empty bool) bool {
		return empty && writes(key)
	})
}

// sweepUntil removes those that have received nothing since before. The size of the
// parts says which uploads weir began. Of the others, ours selects those that only
// weir can have begun, by the key and by whether there are no parts: a process that
// was killed right after it had begun an upload leaves such a one.
func (c *client) sweepUntil(ctx context.Context, prefix string, before time.Time, ours func(key string, empty bool) bool) error {
	for u, err := range c.uploads(ctx, prefix) {
		if err != nil {
			return err
		}
		if u.Initiated.Before(before) && c.isAbandoned(ctx, u.Key, u.UploadID, before, ours) {
			_ = c.abort(ctx, u.Key, u.UploadID)
		}
	}
	return nil
}

// uploads lists the unfinished uploads to keys that begin with prefix. An error is
// the last value.
func (c *client) uploads(ctx context.Context, prefix string) iter.Seq2[minio.ObjectMultipartInfo, error] {
	return func(yield func(minio.ObjectMultipartInfo, error) bool) {
		keyMarker, idMarker := "", ""
		for {
			list, err := c.core.ListMultipartUploads(ctx, c.bucket, prefix, keyMarker, idMarker, "", 1000)
			if err != nil {
				yield(minio.ObjectMultipartInfo{}, err)
				return
			}
			for _, u := range list.Uploads {
				if !yield(u, nil) {
					return
				}
			}
			if !list.IsTruncated || list.NextKeyMarker == keyMarker && list.NextUploadIDMarker == idMarker {
				return
			}
			keyMarker, idMarker = list.NextKeyMarker, list.NextUploadIDMarker
		}
	}
}

// isAbandoned reports whether an unfinished upload is ours, has received nothing
// since before, and is none that a flow can continue. For ours see sweepUntil.
func (c *client) isAbandoned(ctx context.Context, key, id string, before time.Time, ours func(key string, empty bool) bool) bool {
	marker, marked, empty := 0, false, true
	for {
		list, err := c.core.ListObjectParts(ctx, c.bucket, key, id, marker, 1000)
		if err != nil {
			return false
		}
		for _, p := range list.ObjectParts {
			empty = false
			marked = marked || p.Size%partUnit == partMark && p.Size >= minPart
			if !p.LastModified.Before(before) {
				return false
			}
		}
		if !list.IsTruncated || list.NextPartNumberMarker <= marker {
			if marked || ours(key, empty) { // somebody may want to continue it
				s, err := c.flowState(ctx, key)
				return errors.Is(err, fs.ErrNotExist) || err == nil && s.Upload != id
			}
			return false
		}
		marker = list.NextPartNumberMarker
	}
}

// beginning is how long after it has announced it, by the clock of the store, a
// durable sink can have begun an upload. The request is repeated while it fails.
const beginning = time.Minute

// unrecorded returns the uploads to key that a run which died before it could
// store the id may have begun. It stored its state at announced, right before. An
// upload outside of that minute, or with parts, is somebody else's.
func (c *client) unrecorded(ctx context.Context, key string, announced time.Time) (ids []string, err error) {
	err = c.request(ctx, "list uploads to", key, false, func(ctx context.Context) error {
		ids = ids[:0]
		for u, err := range c.uploads(ctx, key) {
			if err != nil {
				return err
			}
			// The time of an object has no fractions of a second.
			if after := u.Initiated.Sub(announced); u.Key != key || after < -time.Second || after > beginning {
				continue
			}
			list, err := c.core.ListObjectParts(ctx, c.bucket, key, u.UploadID, 0, 1)
			if err == nil && len(list.ObjectParts) == 0 {
				ids = append(ids, u.UploadID)
			}
		}
		return nil
	})
	return ids, err
}
