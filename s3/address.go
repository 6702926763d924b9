package s3

import (
	"errors"
	"fmt"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/weir-go/weir"
	"github.com/weir-go/weir/endpoint"
	"github.com/weir-go/weir/internal/units"
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

// settings are the names of the settings that a query may have.
var settings = []string{"anonymous", "endpoint", "parallel", "part-size", "profile", "region"}

// parse parses an s3:// URL. The settings in its query take precedence over s.
func (s Store) parse(u *url.URL) (address, error) {
	a := address{bucket: u.Host, key: strings.TrimPrefix(u.Path, "/"), store: s}
	fail := func(format string, args ...any) (address, error) {
		return a, fmt.Errorf("s3: %s: %s", a, fmt.Sprintf(format, args...))
	}
	switch {
	case u.User != nil:
		a.bucket = u.Hostname()
		return fail("credentials in the URL; use AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or ?profile=NAME")
	case a.bucket == "":
		return fail("missing bucket; write s3://bucket/key")
	case u.Port() != "":
		return fail("port behind the bucket; write the address of a store as ?endpoint=http://%s", u.Host)
	case u.Fragment != "":
		return fail("# in the key; write it as %%23")
	case len(a.key) > longestKey:
		return fail("key of %d bytes; use at most %d", len(a.key), longestKey)
	case !utf8.ValidString(a.key) || strings.ContainsRune(a.key, 0):
		return fail("invalid key; use UTF-8 without zero bytes")
	}
	query, err := url.ParseQuery(u.RawQuery)
	if err != nil {
		return fail("invalid query; write ? in a key as %%3F")
	}
	for name, values := range query {
		if !slices.Contains(settings, name) {
			return fail("unknown setting %q; use %s, or write ? in a key as %%3F", name, strings.Join(settings, ", "))
		}
		if err := a.store.set(name, values[len(values)-1]); err != nil {
			return fail("invalid value %q for %s; %v", values[len(values)-1], name, err)
		}
	}
	return a, nil
}

// longestKey is the longest key that stores accept, in bytes.
const longestKey = 1024

// set changes one setting to the value that a query gives it. An error says
// which values are valid.
func (s *Store) set(name, value string) (err error) {
	switch name {
	case "endpoint":
		u, err := url.Parse(value)
		if err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Host == "" {
			return errors.New("write http://host:port or https://host")
		}
		s.Endpoint = value
	case "region":
		s.Region = value
	case "profile":
		s.Profile = value
	case "anonymous":
		if s.Anonymous, err = strconv.ParseBool(value); err != nil {
			return errors.New("write true or false")
		}
	case "parallel":
		if s.Parallel, err = strconv.Atoi(value); err != nil || s.Parallel < 1 || s.Parallel > maxParallel {
			return fmt.Errorf("write a number from 1 to %d", maxParallel)
		}
	case "part-size":
		if s.PartSize, err = units.ParseBytes(value); err != nil || s.PartSize < minPart || s.PartSize > maxPart {
			return fmt.Errorf("write a size from %s to %s, as in 64MiB", weir.FormatBytes(minPart), weir.FormatBytes(maxPart))
		}
	}
	return nil
}
