package s3

import (
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strings"

	"github.com/weir-go/weir"
	"github.com/weir-go/weir/endpoint"
)

// Store has the address of an object store, the credentials for it, and
// settings for transfers. Empty fields are filled in from the environment; see
// the package comment. A Store can be copied and used concurrently.
type Store struct {
	// Endpoint is the URL of the store: http://host:port or https://host. Empty
	// means Amazon S3.
	Endpoint string

	// Region is the region of the bucket.
	Region string

	// Profile is the section of the files in ~/.aws to use.
	Profile string

	// AccessKeyID, SecretAccessKey and SessionToken are credentials. They take
	// precedence over the environment and the files. SessionToken is for temporary
	// credentials only.
	AccessKeyID, SecretAccessKey, SessionToken string

	// Anonymous sends requests unsigned.
	Anonymous bool

	// PartSize is the minimum size of a part of an upload, from 5 MiB to 5 GiB.
	// Zero means 8 MiB and 23 KiB. Parts are larger if the length is known and
	// would need more than 9,000 of them.
	PartSize int64

	// Parallel is how many requests one download or upload makes at a time, from 1
	// to 64. Zero means 2 parts for an upload. For a download it means 1 request, or
	// 4 ranges of 4 MiB if that one gets less than 256 MiB a second. A download holds
	// its ranges in memory, unless there is only 1 request. An upload holds its parts,
	// and one more that it fills.
	Parallel int

	// Transport sends the requests. Nil means a new transport for each flow and
	// each folder, whose connections are closed at the end.
	Transport http.RoundTripper
}

// peer is what sources and sinks wait for, as it is called in verdicts.
const peer = "the store"

const (
	minPart = 5 << 20 // of every part but the last, in all stores
	maxPart = 5 << 30
	most    = 10_000 // parts of one object
	planned = 9_000  // parts of an object of known length, at most

	// defaultPart is deliberately not a round number: from the size of the parts,
	// the sweep recognizes uploads that weir began. A store does not record who
	// began one.
	defaultPart = 8<<20 + partMark

	// partMark is the remainder of the size of our parts modulo partUnit.
	partMark = 23 << 10
	partUnit = 1 << 20

	maxParallel  = 64
	partsAtOnce  = 2
	rangesAtOnce = 4
	rangeSize    = 4 << 20
)

// partSize returns the size of all parts but the last of an object of size bytes, or
// of unknown length if size is 0 or less.
func (s Store) partSize(size int64) int64 {
	n := max(s.PartSize, defaultPart)
	if s.PartSize > 0 {
		n = s.PartSize
	}
	n = max(n, (size+planned-1)/planned)
	if rest := n % partUnit; rest != partMark {
		n += (partMark - rest + partUnit) % partUnit
	}
	if n > maxPart {
		n -= partUnit
	}
	return n
}

// partsAtOnce returns how many parts of an object of size bytes are sent at a time.
func (s Store) partsAtOnce(size int64) int {
	n := partsAtOnce
	if s.Parallel > 0 {
		n = s.Parallel
	}
	if part := s.partSize(size); size > 0 {
		n = int(min(int64(n), (size+part-1)/part))
	}
	return n
}

func (s Store) rangesAtOnce() int {
	if s.Parallel > 0 {
		return s.Parallel
	}
	return rangesAtOnce
}

// Source returns the source behind an s3:// URL. It checks its arguments and
// opens nothing.
func (s Store) Source(name string, o endpoint.SourceOptions) (endpoint.Input, error) {
	if o.Offset < 0 {
		return nil, fmt.Errorf("s3: negative offset %d", o.Offset)
	}
	u, err := parseURL(name)
	if err != nil {
		return nil, err
	}
	return s.source(u, o)
}

// Sink returns the sink behind an s3:// URL. It checks its arguments and opens
// nothing. With Exclusive in o the store itself refuses to replace an object.
func (s Store) Sink(name string, o endpoint.SinkOptions) (weir.Sink[byte], error) {
	u, err := parseURL(name)
	if err != nil {
		return weir.Sink[byte]{}, err
	}
	o.Size = max(o.Size, 0)
	return s.sink(u, o)
}

// parseURL reads an s3:// URL. Its errors do not quote the URL: it might hold a
// password that does not belong there.
func parseURL(name string) (*url.URL, error) {
	u, err := url.Parse(name)
	if err != nil || !strings.EqualFold(u.Scheme, scheme) {
		return nil, errors.New("s3: invalid URL; write s3://bucket/key, with special characters as %XX")
	}
	return u, nil
}

// check refuses settings that no store accepts.
func (s Store) check() error {
	switch {
	case s.PartSize != 0 && (s.PartSize < minPart || s.PartSize > maxPart):
		return fmt.Errorf("s3: invalid part size %s; use %s to %s, or 0", weir.FormatBytes(s.PartSize), weir.FormatBytes(minPart), weir.FormatBytes(maxPart))
	case s.Parallel < 0 || s.Parallel > maxParallel:
		return fmt.Errorf("s3: invalid number of parallel requests %d; use 1 to %d, or 0", s.Parallel, maxParallel)
	}
	return nil
}

// object reads the URL of one object.
func (s Store) object(u *url.URL) (address, error) {
	a, err := s.parse(u)
	if err == nil {
		err = a.store.check()
	}
	if err == nil && (a.key == "" || strings.HasSuffix(a.key, "/")) {
		err = fmt.Errorf("s3: %s is a folder, not an object; write a key that does not end in a slash", a)
	}
	return a, err
}

func (s Store) source(u *url.URL, o endpoint.SourceOptions) (endpoint.Input, error) {
	a, err := s.object(u)
	if err != nil {
		return nil, err
	}
	return newInput(a, o), nil
}

func (s Store) sink(u *url.URL, o endpoint.SinkOptions) (weir.Sink[byte], error) {
	a, err := s.object(u)
	switch {
	case err != nil:
		return weir.Sink[byte]{}, err
	case o.Offset > 0:
		return weir.Sink[byte]{}, fmt.Errorf("s3: %s: an object cannot be continued at an offset", a)
	}
	if limit := int64(most) * maxPart; o.Size > limit {
		return weir.Sink[byte]{}, fmt.Errorf("s3: %s: %s is more than an object can have", a, weir.FormatBytes(o.Size))
	}
	return newSink(a, o), nil
}
