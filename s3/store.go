package s3

import (
	"cmp"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/minio/minio-go/v7"
	"github.com/minio/minio-go/v7/pkg/credentials"
	"gopkg.in/ini.v1"

	"github.com/weir-go/weir"
	"github.com/weir-go/weir/durable"
	"github.com/weir-go/weir/endpoint"
	"github.com/weir-go/weir/internal/units"
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
	// Zero means 5 MiB and 23 KiB for parts that are held in memory, and 8 MiB and
	// 23 KiB for those of a file. Parts are larger if the length is known and would
	// need more than 9,000 of them.
	PartSize int64

	// Parallel is how many ranges of an object a download requests at a time, and how
	// many parts an upload has at a time, counting the one that fills: from 1 to 64.
	//
	// Zero means for a download 1 request, or 4 ranges of 4 MiB if that one gets less
	// than 256 MiB a second. It holds its ranges in memory, unless there is only 1
	// request. Zero means for an upload 4 parts of a file. Other content has 2 parts,
	// which are held in memory, and up to 5 if that makes the upload faster.
	Parallel int

	// Transport sends the requests. Nil means a new transport for each flow and
	// each folder, whose connections are closed at the end.
	Transport http.RoundTripper
}

// peer is what sources and sinks wait for, as it is called in verdicts.
const peer = "the store"

const (
	minPart  = 5 << 20 // of every part but the last, in all stores
	maxPart  = 5 << 30
	maxParts = 10_000 // of one object
	planned  = 9_000  // parts of an object of known length, at most

	// The sizes of parts are deliberately not round numbers: from the size of the
	// parts, the sweep recognizes uploads that weir began. A store does not record who
	// began one.
	filePart = 8<<20 + partMark   // of a file, which can be read again
	heldPart = minPart + partMark // of other content: the parts are held in memory

	// partMark is the remainder of the size of our parts modulo partUnit.
	partMark = 23 << 10
	partUnit = 1 << 20

	maxParallel  = 64
	fileParts    = 4 // at a time, of a file
	heldParts    = 2 // at a time, in memory
	moreParts    = 5 // if that makes an upload faster
	treeParts    = 2 // at a time, of each file of a folder
	rangesAtOnce = 4
	rangeSize    = 4 << 20
)

// partSize returns the size of all parts but the last of an object of size bytes, or
// of unknown length if size is 0 or less. usual is the size without a setting.
func (s Store) partSize(size, usual int64) int64 {
	n := usual
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

// buffers returns how many parts there are of an upload at a time, counting the one that
// fills: at first, and at most. Those of a file take no memory. The length and the size of
// a part are in bytes; size is 0 or less if the length is unknown.
func (s Store) buffers(size, part int64, file bool) (first, most int) {
	first, most = heldParts, moreParts
	if file {
		first, most = fileParts, fileParts
	}
	if s.Parallel > 0 {
		first, most = s.Parallel, s.Parallel
	}
	if size > 0 {
		parts := int(min(int64(most), (size+part-1)/part))
		first, most = min(first, parts), parts
	}
	return first, most
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

// DurableSink returns a sink for package durable: an object that a later run can
// continue to write, from any machine. The object appears when the flow ends. Until
// then, the checkpoint is in another object, whose key has the suffix .weir-flow,
// together with the data that is not in a part yet. Of two runs at the same time,
// the one that saves a checkpoint first continues; the other one fails with
// [durable.ErrInUse] at its own next checkpoint. That requires a store that honors
// conditions; both write the same bytes in any case.
//
// The flow saves a checkpoint after every fourth part, when nothing was written
// for a second, and at the latest after a minute.
func (s Store) DurableSink(name string, o endpoint.HTTPOptions) (durable.Sink, error) {
	u, err := parseURL(name)
	if err != nil {
		return nil, err
	}
	a, err := s.object(u)
	if err == nil && len(a.key)+len(stateSuffix) > longestKey {
		err = fmt.Errorf("s3: %s: key of %d bytes; at most %d are allowed for a flow that can be continued", a, len(a.key), longestKey-len(stateSuffix))
	}
	if err != nil {
		return nil, err
	}
	return &durableSink{a: a, o: o}, nil
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
	if limit := int64(maxParts) * maxPart; o.Size > limit {
		return weir.Sink[byte]{}, fmt.Errorf("s3: %s: %s is more than an object can have", a, weir.FormatBytes(o.Size))
	}
	return newSink(a, o), nil
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

// amazon is the store that is asked when no endpoint is named.
const amazon = "https://s3.amazonaws.com"

// profile is a section of the files in ~/.aws.
type profile struct {
	name     string
	named    bool // somebody asked for it by name
	found    bool
	endpoint string
	region   string
}

// readProfile reads the section of ~/.aws/config and ~/.aws/credentials that s
// or the environment names. Files that are not there say nothing.
func (s Store) readProfile() (profile, error) {
	p := profile{name: cmp.Or(s.Profile, os.Getenv("AWS_PROFILE"), os.Getenv("AWS_DEFAULT_PROFILE"))}
	p.named = p.name != ""
	p.name = cmp.Or(p.name, "default")
	for _, file := range []struct {
		variable, name string
		sections       []string
	}{
		{"AWS_CONFIG_FILE", "config", []string{"profile " + p.name, p.name}},
		{"AWS_SHARED_CREDENTIALS_FILE", "credentials", []string{p.name}},
	} {
		path := os.Getenv(file.variable)
		if path == "" {
			home, err := os.UserHomeDir()
			if err != nil {
				continue
			}
			path = filepath.Join(home, ".aws", file.name)
		}
		f, err := ini.LoadSources(ini.LoadOptions{AllowNestedValues: true, SkipUnrecognizableLines: true}, path)
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return p, fmt.Errorf("s3: read %s: %w", path, err)
		}
		for _, name := range file.sections {
			section, err := f.GetSection(name)
			if err != nil {
				continue
			}
			p.found = true
			p.region = cmp.Or(p.region, section.Key("region").String())
			p.endpoint = cmp.Or(p.endpoint, section.Key("endpoint_url").String())
			break
		}
	}
	if p.named && !p.found {
		return p, fmt.Errorf("s3: no profile %q in ~/.aws/config or ~/.aws/credentials", p.name)
	}
	return p, nil
}

// connect makes the client of minio-go for the store, without asking it
// anything. Only credentials that no variable and no file holds take a request.
func (s Store) connect(transport http.RoundTripper) (*minio.Core, error) {
	p, err := s.readProfile()
	if err != nil {
		return nil, err
	}
	at, err := url.Parse(cmp.Or(s.Endpoint, os.Getenv("AWS_ENDPOINT_URL_S3"), os.Getenv("AWS_ENDPOINT_URL"), p.endpoint, amazon))
	if err != nil || at.Host == "" || at.Scheme != "http" && at.Scheme != "https" {
		return nil, errors.New("s3: invalid endpoint; write http://host:port or https://host")
	}
	region := cmp.Or(s.Region, os.Getenv("AWS_REGION"), os.Getenv("AWS_DEFAULT_REGION"), p.region)
	if region == "" && at.String() != amazon {
		region = "us-east-1" // stores without regions expect it in a signature
	}
	creds, err := s.credentials(p, at.String() == amazon)
	if err != nil {
		return nil, err
	}
	// Retries are ours: minio-go would not say how often it tried, nor stop for
	// a request that cannot be repeated.
	core, err := minio.NewCore(at.Host, &minio.Options{
		Creds: creds, Secure: at.Scheme == "https", Region: region, Transport: transport, MaxRetries: 1,
	})
	if err != nil {
		return nil, fmt.Errorf("s3: %w", err)
	}
	core.SetAppInfo("weir", "1")
	return core, nil
}

// credentials finds the credentials to use. If the user chose some that cannot
// be used, it returns an error: a fallback would send requests with the rights
// of another account.
func (s Store) credentials(p profile, isAmazon bool) (*credentials.Credentials, error) {
	switch {
	case s.Anonymous:
		return credentials.NewStatic("", "", "", credentials.SignatureAnonymous), nil
	case s.AccessKeyID != "":
		return credentials.NewStaticV4(s.AccessKeyID, s.SecretAccessKey, s.SessionToken), nil
	}
	id, secret := os.Getenv("AWS_ACCESS_KEY_ID"), os.Getenv("AWS_SECRET_ACCESS_KEY")
	switch {
	case s.Profile == "" && id != "" && secret != "":
		return credentials.NewStaticV4(id, secret, os.Getenv("AWS_SESSION_TOKEN")), nil
	case s.Profile == "" && (id != "" || secret != ""):
		return nil, errors.New("s3: only one of AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY is set; set both")
	}
	client := &http.Client{Timeout: 30 * time.Second}
	if p.found {
		creds := credentials.NewFileAWSCredentials("", p.name)
		v, err := creds.GetWithContext(&credentials.CredContext{Client: client})
		switch {
		case err == nil && v.AccessKeyID != "" && v.SecretAccessKey != "":
			return creds, nil
		case err != nil && p.named:
			return nil, fmt.Errorf("s3: profile %s: %w", p.name, err)
		}
	}
	role := os.Getenv("AWS_CONTAINER_CREDENTIALS_RELATIVE_URI") != "" || os.Getenv("AWS_CONTAINER_CREDENTIALS_FULL_URI") != "" ||
		os.Getenv("AWS_WEB_IDENTITY_TOKEN_FILE") != ""
	if role || isAmazon && os.Getenv("AWS_EC2_METADATA_DISABLED") != "true" {
		if !role { // a machine that is none of Amazon's does not answer
			client.Transport = &http.Transport{DialContext: (&net.Dialer{Timeout: time.Second}).DialContext}
			client.Timeout = 2 * time.Second
		}
		creds := credentials.New(&credentials.IAM{Client: client})
		v, err := creds.GetWithContext(&credentials.CredContext{Client: client})
		if err == nil && v.AccessKeyID != "" {
			return creds, nil
		}
		if role {
			return nil, fmt.Errorf("s3: credentials of the role: %w", err)
		}
	}
	return nil, &Error{Code: codeNoCredentials}
}

// trust returns TLS settings with the certificates of AWS_CA_BUNDLE, or nil to
// use the certificates of the system.
func trust() (*tls.Config, error) {
	name := os.Getenv("AWS_CA_BUNDLE")
	if name == "" {
		return nil, nil
	}
	bundle, err := os.ReadFile(name)
	if err != nil {
		return nil, fmt.Errorf("s3: read AWS_CA_BUNDLE: %w", err)
	}
	pool := x509.NewCertPool()
	if !pool.AppendCertsFromPEM(bundle) {
		return nil, fmt.Errorf("s3: no certificates in %s, which AWS_CA_BUNDLE names", name)
	}
	return &tls.Config{RootCAs: pool}, nil
}
