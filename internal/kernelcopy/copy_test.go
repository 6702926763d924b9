package kernelcopy

import (
	"bytes"
	"crypto/sha256"
	"errors"
	"io"
	"math/rand/v2"
	"net"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"testing"
	"testing/iotest"
)

// content is what the tests copy: not a whole number of pages or pieces.
var content = func() []byte {
	b := make([]byte, 3<<20+12345)
	rand.NewChaCha8([32]byte{1}).Read(b)
	return b
}()

// A source gives content and then ends. A sink collects the bytes written to
// it, and returns them after the writer was closed.
type source func(t *testing.T) io.Reader
type sink func(t *testing.T) (io.WriteCloser, func() []byte)

var sources = map[string]source{
	"memory": func(*testing.T) io.Reader { return struct{ io.Reader }{bytes.NewReader(content)} },
	"file":   func(t *testing.T) io.Reader { return fileWith(t, t.TempDir(), content) },
	"pipe": func(t *testing.T) io.Reader {
		r, w, err := os.Pipe()
		must(t, err)
		feed(t, r, w)
		return r
	},
	"tcp": func(t *testing.T) io.Reader {
		r, w := tcpPair(t)
		feed(t, r, w)
		return r
	},
	"unix": func(t *testing.T) io.Reader {
		r, w := unixPair(t)
		feed(t, r, w)
		return r
	},
}

var sinks = map[string]sink{
	"memory": func(*testing.T) (io.WriteCloser, func() []byte) {
		var b bytes.Buffer
		return closer{struct{ io.Writer }{&b}}, b.Bytes
	},
	"file":   func(t *testing.T) (io.WriteCloser, func() []byte) { return fileSink(t, t.TempDir(), 0) },
	"append": func(t *testing.T) (io.WriteCloser, func() []byte) { return fileSink(t, t.TempDir(), os.O_APPEND) },
	"pipe": func(t *testing.T) (io.WriteCloser, func() []byte) {
		r, w, err := os.Pipe()
		must(t, err)
		return w, collect(r)
	},
	"tcp": func(t *testing.T) (io.WriteCloser, func() []byte) {
		r, w := tcpPair(t)
		return w, collect(r)
	},
	"unix": func(t *testing.T) (io.WriteCloser, func() []byte) {
		r, w := unixPair(t)
		return w, collect(r)
	},
}

type closer struct{ io.Writer }

func (closer) Close() error { return nil }

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func fileWith(t *testing.T, dir string, b []byte) *os.File {
	name := filepath.Join(dir, "src")
	must(t, os.WriteFile(name, b, 0o600))
	f, err := os.Open(name)
	must(t, err)
	t.Cleanup(func() { f.Close() })
	return f
}

func fileSink(t *testing.T, dir string, flag int) (io.WriteCloser, func() []byte) {
	name := filepath.Join(dir, "dst")
	f, err := os.OpenFile(name, os.O_CREATE|os.O_WRONLY|flag, 0o600)
	must(t, err)
	return f, func() []byte {
		b, err := os.ReadFile(name)
		must(t, err)
		return b
	}
}

func feed(t *testing.T, r io.Closer, w io.WriteCloser) {
	done := make(chan struct{})
	go func() {
		defer close(done)
		w.Write(content)
		w.Close()
	}()
	t.Cleanup(func() { r.Close(); <-done })
}

func collect(r io.ReadCloser) func() []byte {
	done := make(chan []byte)
	go func() {
		b, _ := io.ReadAll(r)
		r.Close()
		done <- b
	}()
	return func() []byte { return <-done }
}

func pair[C net.Conn](t *testing.T, l net.Listener) (r, w C) {
	defer l.Close()
	c, err := net.Dial(l.Addr().Network(), l.Addr().String())
	must(t, err)
	s, err := l.Accept()
	must(t, err)
	t.Cleanup(func() { c.Close(); s.Close() })
	return s.(C), c.(C)
}

func tcpPair(t *testing.T) (r, w *net.TCPConn) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	must(t, err)
	return pair[*net.TCPConn](t, l)
}

func unixPair(t *testing.T) (r, w *net.UnixConn) {
	dir, err := os.MkdirTemp("", "u") // names of sockets are short
	must(t, err)
	t.Cleanup(func() { os.RemoveAll(dir) })
	l, err := net.Listen("unix", filepath.Join(dir, "s"))
	if err != nil {
		t.Skip(err)
	}
	return pair[*net.UnixConn](t, l)
}

func same(t *testing.T, got, want []byte) {
	t.Helper()
	if sha256.Sum256(got) != sha256.Sum256(want) {
		t.Errorf("%d bytes arrived that are not the %d sent", len(got), len(want))
	}
}

func TestCopy_MovesEveryByteOfEveryPairAndCountsIt(t *testing.T) {
	for from, src := range sources {
		for to, dst := range sinks {
			for _, segment := range []int64{0, 100_001} {
				t.Run(from+" to "+to, func(t *testing.T) {
					w, arrived := dst(t)
					var counted int64
					n, err := Copy(t.Context(), w, src(t), Options{
						Progress: func(n int64) {
							if n <= 0 {
								t.Errorf("progress of %d", n)
							}
							counted += n
						},
						segment: segment,
					})
					w.Close()
					if n != int64(len(content)) || counted != n || err != nil {
						t.Errorf("Copy = %d, %v; counted %d of %d", n, err, counted, len(content))
					}
					same(t, arrived(), content)
				})
			}
		}
	}
}

func TestCopy_IsBoundedByALimitedReader(t *testing.T) {
	for from, src := range sources {
		for to, dst := range sinks {
			t.Run(from+" to "+to, func(t *testing.T) {
				const limit = 1<<20 + 1
				w, arrived := dst(t)
				lr := &io.LimitedReader{R: src(t), N: limit}
				n, err := Copy(t.Context(), w, lr, Options{})
				w.Close()
				if n != limit || lr.N != 0 || err != nil {
					t.Errorf("Copy = %d, %v; %d left of the limit", n, err, lr.N)
				}
				same(t, arrived(), content[:limit])
			})
		}
	}
	for _, n := range []int64{0, -1} {
		if n, err := Copy(t.Context(), io.Discard, io.LimitReader(iotest.ErrReader(io.ErrUnexpectedEOF), n), Options{}); n != 0 || err != nil {
			t.Errorf("Copy of nothing = %d, %v", n, err)
		}
	}
}

func TestCopy_UsesReadFromWhenAsked(t *testing.T) {
	var w readerFrom
	n, err := Copy(t.Context(), &w, bytes.NewReader(content), Options{ReadFrom: true, segment: 1 << 20})
	if n != int64(len(content)) || err != nil || w.calls != 4 {
		t.Errorf("Copy = %d, %v after %d calls of ReadFrom", n, err, w.calls)
	}
	same(t, w.Bytes(), content)
}

type readerFrom struct {
	bytes.Buffer
	calls int
}

func (w *readerFrom) ReadFrom(r io.Reader) (int64, error) {
	w.calls++
	return w.Buffer.ReadFrom(r)
}

// wrapped counts the bytes that the kernel moves to its file.
type wrapped struct {
	*os.File
	moved int64
}

var errWrapped = errors.New("in its own words")

func (w *wrapped) OSFile() *os.File { return w.File }

func (w *wrapped) Moved(n int64, err error) error {
	w.moved += n
	if err != nil {
		err = errors.Join(errWrapped, err)
	}
	return err
}

func TestCopy_LooksIntoWrappers(t *testing.T) {
	dst, arrived := sinks["file"](t)
	src := sources["file"](t)
	w := &wrapped{File: dst.(*os.File)}
	if p, q := Path(w, &wrapped{File: src.(*os.File)}), Path(dst, src); p != q {
		t.Errorf("Path = %q with wrappers and %q without", p, q)
	}
	n, err := Copy(t.Context(), w, src, Options{})
	if n != int64(len(content)) || err != nil || w.moved != n {
		t.Errorf("Copy = %d, %v; wrapper saw %d", n, err, w.moved)
	}
	same(t, arrived(), content)
	w.Close()
	if _, err := Copy(t.Context(), w, bytes.NewReader(content), Options{}); !errors.Is(err, errWrapped) || !errors.Is(err, os.ErrClosed) {
		t.Errorf("Copy to a closed file = %v", err)
	}
}

func TestCopy_EndsEarlyWhenTheFileShrinks(t *testing.T) {
	src := sources["file"](t).(*os.File)
	w, arrived := sinks["file"](t)
	const cut = 1 << 20
	n, err := Copy(t.Context(), w, src, Options{
		Progress: func(int64) { os.Truncate(src.Name(), cut) },
		segment:  512 << 10,
	})
	w.Close()
	if n != cut || err != nil {
		t.Errorf("Copy = %d, %v; want %d", n, err, cut)
	}
	same(t, arrived(), content[:cut])
}

func TestCopy_ReaderErrorsComeAfterTheirData(t *testing.T) {
	var b bytes.Buffer
	fails := errors.New("fails")
	n, err := Copy(t.Context(), closer{&b}, iotest.DataErrReader(io.MultiReader(strings.NewReader("data"), iotest.ErrReader(fails))), Options{})
	if n != 4 || err != fails || b.String() != "data" {
		t.Errorf("Copy = %d, %v, %q", n, err, b.String())
	}
}

type writerFunc func([]byte) (int, error)

func (f writerFunc) Write(p []byte) (int, error) { return f(p) }

func TestCopy_EndsAtBrokenReadersAndWriters(t *testing.T) {
	short := writerFunc(func(p []byte) (int, error) { return len(p) / 2, nil })
	if n, err := Copy(t.Context(), short, strings.NewReader("1234"), Options{}); n != 2 || err != io.ErrShortWrite {
		t.Errorf("short write: %d, %v", n, err)
	}
	wild := writerFunc(func(p []byte) (int, error) { return len(p) + 1, nil })
	if n, err := Copy(t.Context(), wild, strings.NewReader("1234"), Options{}); n != 0 || err == nil {
		t.Errorf("impossible count: %d, %v", n, err)
	}
	never := iotest.ErrReader(nil)
	if n, err := Copy(t.Context(), io.Discard, never, Options{}); n != 0 || err != io.ErrNoProgress {
		t.Errorf("reader without data: %d, %v", n, err)
	}
}

func TestCopy_ClosedReaderIsEPIPE(t *testing.T) {
	if runtime.GOOS == "windows" {
		t.Skip("another error there")
	}
	for from, src := range sources {
		for _, to := range []string{"pipe", "tcp", "unix"} {
			t.Run(from+" to "+to, func(t *testing.T) {
				var r io.Closer
				var w io.WriteCloser
				switch to {
				case "pipe":
					r, w, _ = os.Pipe()
				case "tcp":
					a, b := tcpPair(t)
					r, w = a, b
					a.SetLinger(0)
				case "unix":
					r, w = unixPair(t)
				}
				r.Close()
				defer w.Close()
				_, err := Copy(t.Context(), w, src(t), Options{})
				if !errors.Is(err, syscall.EPIPE) && !errors.Is(err, syscall.ECONNRESET) {
					t.Errorf("Copy = %v", err)
				}
			})
		}
	}
}
