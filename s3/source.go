package s3

import (
	"context"
	"fmt"
	"net/http"
	"path"
	"path/filepath"
	"strings"
	"sync"

	"github.com/weir-go/weir"
	"github.com/weir-go/weir/endpoint"
)

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
	return newDownload(ctx, c, in.key, f, in.o.Offset, in.store.rangesAtOnce(), true), nil
}
