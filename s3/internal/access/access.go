// Package access gives the packages below s3 the connection to a store that
// package s3 makes, with its retries and its errors.
package access

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"io"
	"time"

	"github.com/minio/minio-go/v7"

	"github.com/weir-go/weir/endpoint"
)

// Bucket is an open connection to one bucket. It can be used concurrently.
type Bucket struct {
	Core   *minio.Core
	Name   string
	Prefix string // of the keys that the URL names: empty, or with a slash at its end

	// Request calls f until it succeeds or fails permanently. op and key describe it in
	// errors, which are of type *s3.Error if the store has refused.
	Request func(ctx context.Context, op, key string, f func(ctx context.Context) error) error

	// Range reads the bytes from..to of an object of this size and ETag. It resumes
	// after a broken connection. It asks for nothing before the first Read.
	Range func(ctx context.Context, key string, size int64, etag string, from, to int64) io.ReadCloser

	// PartSize returns the size of the parts of an object, of unknown size if size is 0
	// or less. The sweep of package s3 recognizes parts by it.
	PartSize func(size int64) int64

	// MarkedSize returns the largest size of a part, at most n, that such a sweep
	// recognizes, 0 if there is none that all stores accept.
	MarkedSize func(n int64) int64

	// Sweep aborts the multipart uploads of weir to keys that begin with the prefix, if
	// they have received nothing since before. It recognizes them by the size of their
	// parts. Of the others, it aborts those for which ours returns true; empty says that
	// an upload has no parts.
	Sweep func(ctx context.Context, before time.Time, ours func(key string, empty bool) bool) error

	URL   func(key string) string // of an object, for errors
	Close func()
}

// SignsContent reports whether the signatures of requests to a store cover the content
// that is sent: without TLS, nothing else protects it. minio-go can sign content in pieces
// while it sends them, but copies every piece for that. So a request should state the
// SHA-256 of all of it. It should set DisableContentSha256, which turns off only the pieces.
func SignsContent(core *minio.Core) bool { return core.EndpointURL().Scheme == "http" }

// SHA256 returns the SHA-256 of content in hex, for a request that sends it, or "" if the
// signature does not cover it.
func SHA256(core *minio.Core, content []byte) string {
	if !SignsContent(core) {
		return ""
	}
	sum := sha256.Sum256(content)
	return hex.EncodeToString(sum[:])
}

// Open is set by package s3. store is an s3.Store, and name an s3:// URL of a prefix.
var Open func(store any, name string, o endpoint.HTTPOptions) (*Bucket, error)
