package s3

import (
	"context"
	"errors"
	"io/fs"
	"time"
)

// stale is the age at which an unfinished upload counts as abandoned.
const stale = 24 * time.Hour

// sweep removes multipart uploads to keys that begin with prefix which a killed
// process of ours has left. It ignores errors: a failed sweep is no reason for
// an upload to fail.
func (c *client) sweep(ctx context.Context, prefix string) {
	ctx, cancel := context.WithTimeout(ctx, cleanup)
	defer cancel()
	_ = c.sweepUntil(ctx, prefix, time.Now().Add(-stale))
}

// sweepUntil removes those that have received nothing since before.
func (c *client) sweepUntil(ctx context.Context, prefix string, before time.Time) error {
	keyMarker, idMarker := "", ""
	for {
		list, err := c.core.ListMultipartUploads(ctx, c.bucket, prefix, keyMarker, idMarker, "", 1000)
		if err != nil {
			return err
		}
		for _, u := range list.Uploads {
			if u.Initiated.Before(before) && c.isAbandoned(ctx, u.Key, u.UploadID, before) {
				_ = c.abort(ctx, u.Key, u.UploadID)
			}
		}
		if !list.IsTruncated || list.NextKeyMarker == keyMarker && list.NextUploadIDMarker == idMarker {
			return nil
		}
		keyMarker, idMarker = list.NextKeyMarker, list.NextUploadIDMarker
	}
}

// isAbandoned reports whether an unfinished upload is ours, judging by the size
// of its parts, and has received nothing since before. An upload without parts
// takes no space, and can belong to anybody.
func (c *client) isAbandoned(ctx context.Context, key, id string, before time.Time) bool {
	marker, ours := 0, false
	for {
		list, err := c.core.ListObjectParts(ctx, c.bucket, key, id, marker, 1000)
		if err != nil {
			return false
		}
		for _, p := range list.ObjectParts {
			ours = ours || p.Size%partUnit == partMark && p.Size >= minPart
			if !p.LastModified.Before(before) {
				return false
			}
		}
		if !list.IsTruncated || list.NextPartNumberMarker <= marker {
			if ours { // somebody may want to continue it
				s, _, _, err := c.flowState(ctx, key)
				return errors.Is(err, fs.ErrNotExist) || err == nil && s.Upload != id
			}
			return false
		}
		marker = list.NextPartNumberMarker
	}
}
