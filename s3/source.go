package s3

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"path"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"github.com/minio/minio-go/v7"

	"github.com/weir-go/weir"
	"github.com/weir-go/weir/endpoint"
)

// facts are the properties of an object.
type facts struct {
	size     int64
	etag     string // without quotes; empty if the store has none
	modified time.Time
	sum      func() *checksum // a new one for each download; nil: none to compare with
	nonce    string           // the mark of the upload that made it
}

// stat asks for the facts of an object.
func (c *client) stat(ctx context.Context, key string) (facts, error) {
	var info minio.ObjectInfo
	err := c.request(ctx, "read", key, false, func(ctx context.Context) (err error) {
		var o minio.GetObjectOptions
		o.Set(headerMode, "ENABLED")
		info, err = c.core.StatObject(ctx, c.bucket, key, o)
		return err
	})
	if e := (*Error)(nil); errors.As(err, &e) && e.StatusCode >= 400 && e.StatusCode < 500 {
		// An answer to HEAD has no body that says why. One to GET has.
		why := c.request(ctx, "read", key, false, func(ctx context.Context) error {
			body, _, _, err := c.core.GetObject(ctx, c.bucket, key, minio.GetObjectOptions{})
			if err == nil {
				body.Close()
			}
			return err
		})
		if why != nil {
			err = why
		}
	}
	if err != nil {
		return facts{}, err
	}
	return factsOf(info, c.bucket), nil
}

func factsOf(info minio.ObjectInfo, bucket string) facts {
	f := facts{size: info.Size, etag: strings.Trim(info.ETag, `"`), modified: info.LastModified, nonce: info.Headers.Get("x-amz-meta-" + headerNonce)}
	if h := info.Headers; checksumOf(h, bucket) != nil {
		f.sum = func() *checksum { return checksumOf(h, bucket) }
	}
	return f
}

// input is an object as a source.
type input struct {
	address
	o endpoint.SourceOptions

	mu   sync.Mutex // guards info
	info endpoint.Info
}

func newInput(a address, o endpoint.SourceOptions) *input {
	return &input{address: a, o: o, info: endpoint.Info{Name: localName(a.key), Size: -1}}
}

// localName returns a name for the copy of an object in a folder, or "".
func localName(key string) string {
	name := path.Base(key)
	if !filepath.IsLocal(name) || name == "." || strings.ContainsAny(name, `\`) && filepath.Separator == '\\' {
		return ""
	}
	return name
}

func (in *input) Stream() weir.Stream[byte] {
	src := weir.Source[byte]{Name: "store", Open: in.open}
	if n := in.store.rangesAtOnce(); n > 1 {
		src.Holds = int64(n) * rangeSize
	}
	return weir.From(src)
}

func (in *input) Stat(ctx context.Context) (endpoint.Info, error) {
	c, err := newClient(in.address, in.o.HTTP)
	if err != nil {
		return in.Info(), err
	}
	defer c.close()
	f, err := c.stat(ctx, in.key)
	if err == nil {
		in.learn(f)
	}
	return in.Info(), err
}

func (in *input) Info() endpoint.Info {
	in.mu.Lock()
	defer in.mu.Unlock()
	return in.info
}

func (in *input) learn(f facts) {
	in.mu.Lock()
	defer in.mu.Unlock()
	in.info.Size, in.info.Validator, in.info.Modified, in.info.Resumable = f.size, f.etag, f.modified, f.etag != ""
}

// open requests the properties of the object and begins to read it.
func (in *input) open(ctx context.Context) (weir.Reader[byte], error) {
	c, err := newClient(in.address, in.o.HTTP)
	if err != nil {
		return nil, err
	}
	f, err := c.stat(ctx, in.key)
	if err == nil && in.o.Validator != "" && in.o.Validator != f.etag {
		err = &Error{Op: "read", URL: in.String(), StatusCode: http.StatusPreconditionFailed, Err: endpoint.ErrChanged}
	}
	if err == nil && in.o.Offset > f.size {
		err = fmt.Errorf("read %s: offset %d is behind the end at %d", in, in.o.Offset, f.size)
	}
	if err != nil {
		c.close()
		return nil, err
	}
	in.learn(f)
	return c.download(ctx, in.key, f, in.o.Offset, in.store.rangesAtOnce(), in.store.Parallel > 0, true), nil
}
