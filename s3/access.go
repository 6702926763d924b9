package s3

import (
	"context"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/weir-go/weir/endpoint"
	"github.com/weir-go/weir/s3/internal/access"
)

func init() {
	access.Open = func(store any, name string, o endpoint.HTTPOptions) (*access.Bucket, error) {
		return bucket(store.(Store), name, o)
	}
}

// bucket opens the connection for the packages below this one.
func bucket(s Store, name string, o endpoint.HTTPOptions) (*access.Bucket, error) {
	u, err := parseURL(name)
	if err != nil {
		return nil, err
	}
	a, err := s.parse(u)
	if err == nil {
		err = a.store.check()
	}
	if err != nil {
		return nil, err
	}
	if a.key != "" && !strings.HasSuffix(a.key, "/") {
		a.key += "/"
	}
	c, err := newClient(a, o)
	if err != nil {
		return nil, err
	}
	return &access.Bucket{
		Core: c.core, Name: a.bucket, Prefix: a.key, URL: c.url, Close: c.close, MarkedSize: markedSize,
		PartSize: func(size int64) int64 { return a.store.partSize(size, filePart) },
		Request: func(ctx context.Context, op, key string, f func(ctx context.Context) error) error {
			return c.request(ctx, op, key, false, f)
		},
		Range: func(ctx context.Context, key string, size int64, etag string, from, to int64) io.ReadCloser {
			ctx = context.WithValue(ctx, attemptKey{}, &attempt{})
			return rangeReader{&part{c: c, ctx: ctx, key: key, f: facts{size: size, etag: etag}, at: from, to: to, tries: tries{p: c.policy}}}
		},
		Sweep: func(ctx context.Context, before time.Time, ours func(key string, empty bool) bool) error {
			if err := c.sweepUntil(ctx, a.key, before, ours); err != nil {
				return fmt.Errorf("s3: sweep %s: %w", a, err)
			}
			return nil
		},
	}, nil
}

// rangeReader is a part as a ReadCloser.
type rangeReader struct{ *part }

// Close ends the answer of the moment.
func (r rangeReader) Close() error {
	r.hangUp()
	return nil
}

// markedSize returns the largest size, at most n, of a part that the sweep recognizes as
// ours, 0 if there is none.
func markedSize(n int64) int64 {
	n -= ((n-partMark)%partUnit + partUnit) % partUnit
	if n < minPart {
		return 0
	}
	return n
}
