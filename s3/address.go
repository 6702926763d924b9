package s3

import (
	"net/url"
	"strings"

	"github.com/weir-go/weir"
	"github.com/weir-go/weir/endpoint"
)

// scheme is the scheme of URLs of objects.
const scheme = "s3"

func init() {
	endpoint.Register(scheme, endpoint.Scheme{
		Source: func(u *url.URL, o endpoint.SourceOptions) (endpoint.Input, error) { return Store{}.source(u, o) },
		Sink:   func(u *url.URL, o endpoint.SinkOptions) (weir.Sink[byte], error) { return Store{}.sink(u, o) },
	})
}

// address is a parsed s3:// URL.
type address struct {
	bucket string
	key    string // or a prefix: without a slash in front
	store  Store  // with the settings of the query
}

// String returns the URL without its query.
func (a address) String() string { return scheme + "://" + a.bucket + "/" + a.key }

// IsFolder reports whether name is a URL of a prefix: s3://bucket,
// s3://bucket/ or s3://bucket/prefix/.
func IsFolder(name string) bool {
	u, err := url.Parse(name)
	return err == nil && strings.EqualFold(u.Scheme, scheme) && (u.Path == "" || strings.HasSuffix(u.Path, "/"))
}
