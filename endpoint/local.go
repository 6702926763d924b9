package endpoint

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/url"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"time"

	"github.com/weir-go/weir"
	"github.com/weir-go/weir/internal/carry"
	"github.com/weir-go/weir/internal/stamp"
	"github.com/weir-go/weir/internal/units"
)

// Local reports whether name means something on this machine, and returns its
// path, or "-" for standard input and output. A file:// URL is a path too.
func Local(name string) (path string, ok bool) {
	if !isURL(name) {
		return name, true
	}
	if len(name) < 7 || !strings.EqualFold(name[:7], "file://") {
		return "", false
	}
	u, err := url.Parse(name)
	if err != nil {
		return "", false
	}
	path, err = urlPath(u)
	return path, err == nil
}

// urlPath returns the path of a file:// URL.
func urlPath(u *url.URL) (string, error) {
	switch {
	case u.Host != "" && !strings.EqualFold(u.Host, "localhost"):
		return "", fmt.Errorf("endpoint: %s is on another machine; write a local file as file:///path", shown(u))
	case u.Path == "" || u.RawQuery != "" || u.User != nil:
		return "", fmt.Errorf("endpoint: %s is not a path; write a local file as file:///path", shown(u))
	case strings.ContainsRune(u.Path, 0):
		return "", errors.New("endpoint: a path cannot contain a zero byte")
	}
	path := filepath.FromSlash(u.Path)
	if runtime.GOOS == "windows" && filepath.VolumeName(path[1:]) != "" {
		path = path[1:] // /C:/x
	}
	return path, nil
}

func fileURLSource(u *url.URL, o SourceOptions) (Input, error) {
	path, err := urlPath(u)
	if err != nil {
		return nil, err
	}
	return localSource(path, o)
}

func fileURLSink(u *url.URL, o SinkOptions) (weir.Sink[byte], error) {
	path, err := urlPath(u)
	if err != nil {
		return weir.Sink[byte]{}, err
	}
	return localSink(path, o)
}

func localSource(path string, o SourceOptions) (Input, error) {
	switch {
	case path == "":
		return nil, errors.New("endpoint: empty source name")
	case path == "-" && o.Offset > 0:
		return nil, errors.New("endpoint: standard input cannot begin at an offset")
	}
	return &localInput{path: path, o: o, info: Info{Name: localName(path), Size: -1}}, nil
}

func localName(path string) string {
	if path == "-" {
		return ""
	}
	switch base := filepath.Base(path); base {
	case ".", "..", string(filepath.Separator):
		return ""
	default:
		return base
	}
}

type localInput struct {
	path string
	o    SourceOptions

	mu   sync.Mutex // guards info
	info Info
}

func (in *localInput) Stream() weir.Stream[byte] {
	switch {
	case in.path == "-":
		return weir.Stdin()
	case in.o.Validator != "":
		return weir.From(weir.Source[byte]{Name: "read", Open: in.openSame})
	}
	return weir.FileRange(in.path, in.o.Offset, -1)
}

// openSame opens the file if it is still the one that the caller knows.
func (in *localInput) openSame(ctx context.Context) (weir.Reader[byte], error) {
	st, err := os.Stat(in.path) // first: opening a named pipe would wait
	if err != nil {
		return nil, err
	}
	if !st.Mode().IsRegular() {
		return nil, fmt.Errorf("%s is not a regular file and cannot begin at an offset", in.path)
	}
	f, err := os.Open(in.path)
	if err != nil {
		return nil, err
	}
	if st, err = f.Stat(); err == nil && in.learn(st).Validator != in.o.Validator {
		err = fmt.Errorf("%s: %w", in.path, ErrChanged)
	}
	if err == nil {
		_, err = f.Seek(in.o.Offset, io.SeekStart)
	}
	if err != nil {
		return nil, errors.Join(err, f.Close())
	}
	carry.Opened(ctx, f, st)
	return &sameFile{ctx, f, st}, nil
}

// sameFile reads a file to its end, and fails if that comes earlier than it was
// when the file was opened.
type sameFile struct {
	ctx    context.Context
	f      *os.File
	opened fs.FileInfo
}

func (r *sameFile) Read(p []byte) (int, error) {
	n, err := r.f.Read(p)
	if err == io.EOF {
		if cerr := carry.Ended(r.ctx, r.f, r.opened); cerr != nil {
			err = cerr
		}
	}
	return n, err
}

func (r *sameFile) Close() error                      { return r.f.Close() }
func (r *sameFile) SetReadDeadline(t time.Time) error { return r.f.SetReadDeadline(t) }

func (in *localInput) Stat(context.Context) (Info, error) {
	if in.path == "-" {
		st, err := os.Stdin.Stat()
		if err != nil {
			return in.Info(), fmt.Errorf("endpoint: standard input: %w", err)
		}
		in.mu.Lock()
		defer in.mu.Unlock()
		if at, err := os.Stdin.Seek(0, io.SeekCurrent); err == nil && st.Mode().IsRegular() {
			in.info.Size = max(0, st.Size()-at)
		}
		return in.info, nil
	}
	st, err := os.Stat(in.path)
	if err != nil {
		return in.Info(), fmt.Errorf("endpoint: %w", err)
	}
	return in.learn(st), nil
}

func (in *localInput) learn(st fs.FileInfo) Info {
	in.mu.Lock()
	defer in.mu.Unlock()
	in.info.Modified = st.ModTime()
	in.info.Size, in.info.Validator, in.info.Resumable = -1, "", false
	if st.Mode().IsRegular() {
		in.info.Size = st.Size()
		in.info.Validator = fmt.Sprintf("%s %d", st.ModTime().UTC().Format(time.RFC3339Nano), st.Size())
		// Anybody may set a modification time; the rest is the system's.
		if s := stamp.Of(st); s != (stamp.Stamp{}) {
			in.info.Validator += fmt.Sprintf(" %d %s", s.Inode, s.Changed.UTC().Format(time.RFC3339Nano))
		}
		in.info.Resumable = true
	}
	return in.info
}

func (in *localInput) Info() Info {
	in.mu.Lock()
	defer in.mu.Unlock()
	return in.info
}

func localSink(path string, o SinkOptions) (weir.Sink[byte], error) {
	switch {
	case path == "":
		return weir.Sink[byte]{}, errors.New("endpoint: empty destination name")
	case path == "-" && (o.Offset > 0 || o.Exclusive):
		return weir.Sink[byte]{}, errors.New("endpoint: standard output can be neither continued nor exclusive")
	case path == "-":
		return weir.Stdout(), nil
	case o.Exclusive:
		return weir.CreateNew(path, o.File...), nil
	case o.Offset == 0:
		return weir.Create(path, o.File...), nil
	}
	k := weir.WriteAt(path, o.Offset, o.File...)
	open := k.Open
	k.Open = func(ctx context.Context) (weir.Writer[byte], error) {
		st, err := os.Stat(path)
		if err != nil {
			return nil, err
		}
		if st.Size() != o.Offset {
			return nil, fmt.Errorf("%s has %s and cannot be continued at byte %d", path, units.Count(st.Size(), "byte"), o.Offset)
		}
		return open(ctx)
	}
	return k, nil
}
