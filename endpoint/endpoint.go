package endpoint

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/url"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/weir-go/weir"
)

// Input is a source that [Source] found by its name. Its methods can be called
// concurrently.
type Input interface {
	// Stream begins a stream at the source. Each run of a flow opens it anew.
	Stream() weir.Stream[byte]

	// Stat finds out the properties of the source without reading it. It blocks
	// until the source has answered or ctx ends.
	Stat(ctx context.Context) (Info, error)

	// Info returns the facts that Stat, or a flow that runs or has run, has found
	// out so far. It does not block.
	Info() Info
}

// Info describes a source. A field that is not known is zero, except Size.
type Info struct {
	// Name is a safe name for a copy of the source in a folder: one path element.
	// It is empty if the source has no name.
	Name string

	// Size is the length of the whole source in bytes, or -1 if it is not known.
	Size int64

	// Validator identifies this version of the contents. A later run passes it in
	// [SourceOptions] to resume at an offset. It is empty if the source cannot
	// distinguish its versions with certainty.
	Validator string

	// Modified is the time of the last change of the contents.
	Modified time.Time

	// Resumable means that the source can begin at an offset and has a Validator.
	Resumable bool
}

// SourceOptions are the options of [Source]. The zero value reads everything.
type SourceOptions struct {
	// Offset is where to begin, in bytes. If it is not 0, a digest of the whole
	// file cannot be checked.
	Offset int64

	// Validator is the [Info].Validator of the version whose first Offset bytes
	// the caller has. If the source has changed since, the flow ends with
	// [ErrChanged] before anything is read. Without a Validator, the bytes can be
	// from another version than those before Offset.
	Validator string

	HTTP HTTPOptions
}

// SinkOptions are the options of [Sink]. The zero value replaces an existing
// file or object, whole or not at all if the destination supports that.
type SinkOptions struct {
	// Size is how many bytes will be written, as in [Info].Size. 0 or less means
	// that it is not known. A server can then refuse an upload that is too large
	// before the first byte. An upload of another number of bytes fails; a local
	// file can have any length.
	Size int64

	// Offset continues a local file that is exactly this long. The data written so
	// far remains after a failure.
	Offset int64

	// Exclusive makes the flow fail, with an error that matches fs.ErrExist, if
	// the destination exists already.
	Exclusive bool

	// Reopen, if not nil, opens the bytes that will be written, at the same
	// offsets: the file that is the source of the flow, for example. A sink that
	// may have to send bytes twice then reads them again, instead of holding them
	// in memory. It closes what Reopen returns. The flow fails if it reads other
	// bytes than those that were written.
	Reopen func() (ReaderAtCloser, error)

	// File changes how local files are written.
	File []weir.FileOption

	HTTP HTTPOptions
}

// ReaderAtCloser is content that can be read in any order, and by several
// goroutines at the same time, such as an *os.File.
type ReaderAtCloser interface {
	io.ReaderAt
	io.Closer
}

var (
	// ErrChanged is the cause when a source has changed since its first part was
	// read.
	ErrChanged = errors.New("source changed since the download started")

	// ErrDigest is the cause when the bytes that arrived do not match the
	// digest that the server announced.
	ErrDigest = errors.New("digest does not match")
)

// Scheme opens the URLs of one scheme. A nil function means that the scheme has
// no sources, or no sinks. The functions check their arguments and open
// nothing. They can be called concurrently.
type Scheme struct {
	Source func(u *url.URL, o SourceOptions) (Input, error)
	Sink   func(u *url.URL, o SinkOptions) (weir.Sink[byte], error)
}

var registry = struct {
	mu sync.RWMutex // guards m
	m  map[string]Scheme
}{m: map[string]Scheme{
	"file":  {fileURLSource, fileURLSink},
	"http":  {httpSource, httpSink},
	"https": {httpSource, httpSink},
}}

// Register registers a scheme under its name, such as "s3". Call it from init.
// It panics if the name is not a valid scheme or is already registered. It can
// be called concurrently.
func Register(name string, s Scheme) {
	if !isScheme(name) || strings.ToLower(name) != name {
		panic("endpoint: Register of " + name + ": a scheme is lower-case letters, digits, + . and -")
	}
	registry.mu.Lock()
	defer registry.mu.Unlock()
	if _, taken := registry.m[name]; taken {
		panic("endpoint: Register called twice for " + name)
	}
	registry.m[name] = s
}

// Schemes returns the names of the known schemes, sorted.
func Schemes() []string {
	registry.mu.RLock()
	defer registry.mu.RUnlock()
	var names []string
	for name := range registry.m {
		names = append(names, name)
	}
	slices.Sort(names)
	return names
}

// Source returns the source behind name. It checks the name and the options
// and opens nothing.
func Source(name string, o SourceOptions) (Input, error) {
	if o.Offset < 0 {
		return nil, fmt.Errorf("endpoint: negative offset %d", o.Offset)
	}
	if path, ok := Local(name); ok {
		return localSource(path, o)
	}
	s, u, err := lookup(name)
	if err != nil {
		return nil, err
	}
	if s.Source == nil {
		return nil, fmt.Errorf("endpoint: %s: %s URLs cannot be read", shown(u), u.Scheme)
	}
	return s.Source(u, o)
}

// Sink returns the sink behind name. It checks the name and the options and
// opens nothing.
func Sink(name string, o SinkOptions) (weir.Sink[byte], error) {
	switch {
	case o.Offset < 0:
		return weir.Sink[byte]{}, fmt.Errorf("endpoint: negative offset %d", o.Offset)
	case o.Exclusive && o.Offset > 0:
		return weir.Sink[byte]{}, errors.New("endpoint: a continued file cannot be exclusive")
	}
	o.Size = max(o.Size, 0)
	if path, ok := Local(name); ok {
		return localSink(path, o)
	}
	s, u, err := lookup(name)
	if err != nil {
		return weir.Sink[byte]{}, err
	}
	if s.Sink == nil {
		return weir.Sink[byte]{}, fmt.Errorf("endpoint: %s: %s URLs cannot be written", shown(u), u.Scheme)
	}
	return s.Sink(u, o)
}

// lookup finds the scheme of a name that is a URL.
func lookup(name string) (Scheme, *url.URL, error) {
	scheme, _, _ := strings.Cut(name, "://")
	scheme = strings.ToLower(scheme)
	registry.mu.RLock()
	s, ok := registry.m[scheme]
	registry.mu.RUnlock()
	if !ok {
		return Scheme{}, nil, fmt.Errorf("endpoint: unknown scheme %s://; use %s, or ./ in front of a file of that name",
			scheme, strings.Join(Schemes(), ", "))
	}
	u, err := url.Parse(name)
	if err != nil {
		return Scheme{}, nil, badURL(name, err)
	}
	return s, u, nil
}

// badURL describes a URL that cannot be parsed. The parser's own words may
// quote a part of a password, and are kept only if there can be none.
func badURL(name string, err error) error {
	scheme, _, _ := strings.Cut(name, "://")
	if strings.Contains(name, "@") {
		return fmt.Errorf("endpoint: %s://… is not a valid URL: special characters in its user name and password must be written as %%XX", scheme)
	}
	var ue *url.Error
	if errors.As(err, &ue) {
		err = ue.Err
	}
	return fmt.Errorf("endpoint: %s://… is not a valid URL: %w", scheme, err)
}

// isURL reports whether name begins with a scheme and "://".
func isURL(name string) bool {
	scheme, _, ok := strings.Cut(name, "://")
	return ok && isScheme(scheme)
}

func isScheme(s string) bool {
	for i, c := range []byte(s) {
		letter := 'a' <= c|0x20 && c|0x20 <= 'z'
		if !letter && (i == 0 || !strings.ContainsRune("0123456789+.-", rune(c))) {
			return false
		}
	}
	return s != ""
}

// shown returns u without its secrets: user name, password and query.
func shown(u *url.URL) string {
	v := *u
	v.User, v.Fragment, v.RawFragment = nil, "", ""
	if v.RawQuery != "" {
		v.RawQuery = ""
		return v.String() + "?…"
	}
	return v.String()
}
