package weirhttp

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync/atomic"
	"testing"
	"time"
)

// These tests fail when a release of Go changes one of the internals that gointernals.go
// relies on. The package still works then, but slower or with worse errors. Change the
// code there, and the list in its comment.

// serveOnce serves h over plain HTTP/1 on connections that wrap makes.
func serveOnce(t *testing.T, wrap func(net.Conn) net.Conn, h http.HandlerFunc) net.Conn {
	t.Helper()
	srv := httptest.NewUnstartedServer(h)
	srv.Listener = wrapped{srv.Listener, wrap}
	srv.Start()
	t.Cleanup(srv.Close)
	c, err := net.Dial("tcp", srv.Listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	c.SetDeadline(time.Now().Add(10 * time.Second))
	return c
}

type wrapped struct {
	net.Listener
	wrap func(net.Conn) net.Conn
}

func (l wrapped) Accept() (net.Conn, error) {
	c, err := l.Listener.Accept()
	if err != nil {
		return nil, err
	}
	return l.wrap(c), nil
}

func asItIs(c net.Conn) net.Conn { return c }

func TestGoInternals_IsOwnBodyKnowsTheTypesOfNetHTTP(t *testing.T) {
	for _, expect := range []string{"", "Expect: 100-continue\r\n"} {
		own := make(chan string, 1)
		c := serveOnce(t, asItIs, func(_ http.ResponseWriter, r *http.Request) {
			if isOwnBody(r.Body) {
				own <- ""
			} else {
				own <- fmt.Sprintf("%T", r.Body)
			}
		})
		fmt.Fprintf(c, "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\n%s\r\n12345", expect)
		if name := <-own; name != "" {
			t.Errorf("%q: net/http calls its body %s; large uploads are copied now", expect, name)
		}
	}
	if isOwnBody(io.NopCloser(strings.NewReader(""))) || isOwnBody(http.MaxBytesReader(nil, io.NopCloser(strings.NewReader("")), 1)) {
		t.Error("a reader around the body passes for the body")
	}
}

func TestGoInternals_NetHTTPSpellsTheEndOfAConnectionLikeThis(t *testing.T) {
	for head, want := range map[string]bool{
		"GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n": true,
		"GET / HTTP/1.1\r\nHost: x\r\n\r\n":                      false,
	} {
		c := serveOnce(t, asItIs, func(w http.ResponseWriter, _ *http.Request) { io.WriteString(w, "x") })
		io.WriteString(c, head)
		var got bytes.Buffer
		for b := make([]byte, 512); !bytes.Contains(got.Bytes(), []byte("\r\n\r\n")); {
			n, err := c.Read(b)
			got.Write(b[:n])
			if err != nil {
				break
			}
		}
		if announcesClose(got.Bytes()) != want {
			t.Errorf("announcesClose is %v for the answer %q", !want, got.String())
		}
	}
}

func TestGoInternals_RootSaysThatAPathEscapesLikeThis(t *testing.T) {
	dir := t.TempDir()
	root, err := os.OpenRoot(filepath.Join(dir))
	if err != nil {
		t.Fatal(err)
	}
	defer root.Close()
	_, err = root.Stat("../x")
	if !leavesRoot(err) {
		t.Errorf("os.Root says %q", err)
	}
	if runtime.GOOS != "windows" { // where making a link needs a privilege
		if err := os.Symlink("/etc", filepath.Join(dir, "out")); err != nil {
			t.Fatal(err)
		}
		if _, err := root.Stat("out/passwd"); !leavesRoot(err) {
			t.Errorf("of a link that leads out, os.Root says %q", err)
		}
	}
	if _, err := root.Stat("none"); leavesRoot(err) || !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("a missing file: %v", err)
	}
}

// spied records the readers that net/http passes to the ReadFrom of a connection.
type spied struct {
	net.Conn
	got   *atomic.Value
	wrote *atomic.Int64 // bytes written before that
}

func (s spied) Write(b []byte) (int, error) {
	s.wrote.Add(int64(len(b)))
	return s.Conn.Write(b)
}

func (s spied) ReadFrom(r io.Reader) (int64, error) {
	s.got.Store(fmt.Sprintf("%T", r))
	return io.Copy(struct{ io.Writer }{s.Conn}, r)
}

// holder notes the calls of sendThrough.
type holder struct{ held, let bool }

func (h *holder) holdHeader()  { h.held = true }
func (h *holder) letGo() error { h.let = true; return nil }

func TestGoInternals_ReadFromPassesTheReaderToTheConnection(t *testing.T) {
	var got atomic.Value
	var wrote, before atomic.Int64
	var h holder
	returned := make(chan struct{})
	c := serveOnce(t, func(c net.Conn) net.Conn { return spied{c, &got, &wrote} }, func(w http.ResponseWriter, r *http.Request) {
		defer close(returned)
		w.Header().Set("Content-Length", "100000")
		w.WriteHeader(200)
		if err := sendThrough(w, &h, func() error {
			before.Store(wrote.Load())
			_, err := w.(io.ReaderFrom).ReadFrom(&spanLike{left: 100_000})
			return err
		}); err != nil {
			t.Error(err)
		}
	})
	io.WriteString(c, "GET / HTTP/1.1\r\nHost: x\r\n\r\n")
	res, err := http.ReadResponse(bufio.NewReader(c), nil)
	if err != nil {
		t.Fatal(err)
	}
	if n, err := io.Copy(io.Discard, res.Body); n != 100_000 || err != nil {
		t.Errorf("%d bytes, %v", n, err)
	}
	<-returned
	if name, _ := got.Load().(string); name != "*weirhttp.spanLike" {
		t.Errorf("the connection gets a %q to read from; downloads are copied through memory now", name)
	}
	if n := before.Load(); n == 0 || n > 4096 || !h.held || !h.let {
		t.Errorf("%d bytes were written before the body, which must be the header", n)
	}
	if wrote.Load() != before.Load() {
		t.Error("net/http writes some of the body itself")
	}
}

// spanLike is a reader of zeros that is of no type that net/http knows.
type spanLike struct{ left int }

func (s *spanLike) Read(b []byte) (int, error) {
	n := min(len(b), s.left)
	s.left -= n
	if n == 0 {
		return 0, io.EOF
	}
	return n, nil
}

func TestGoInternals_NetHTTPReadsAheadNoMoreThanThat(t *testing.T) {
	var taken atomic.Int64
	ready, done := make(chan struct{}), make(chan struct{})
	c := serveOnce(t, func(c net.Conn) net.Conn { return counting{c, &taken} }, func(_ http.ResponseWriter, r *http.Request) {
		io.ReadFull(r.Body, make([]byte, 1))
		close(ready)
		<-done
	})
	io.WriteString(c, "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 1048576\r\n\r\n")
	c.Write(make([]byte, 1<<20))
	<-ready
	if n := taken.Load(); n > bufferedBody {
		t.Errorf("net/http has read %d bytes when the handler has read one", n)
	}
	if least := int64(pieceSizes[0]); taken.Load() > least {
		t.Errorf("net/http buffers up to %d bytes, and a piece that empties its buffer has %d", taken.Load(), least)
	}
	close(done)
}

type counting struct {
	net.Conn
	n *atomic.Int64
}

func (c counting) Read(b []byte) (int, error) {
	n, err := c.Conn.Read(b)
	c.n.Add(int64(n))
	return n, err
}

func TestGoInternals_HTTP2SendsFramesOfStreamPieces(t *testing.T) {
	s := guarded(t, new(Guard), http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		h := w.Header()
		h.Set("Content-Type", "text/plain")
		w.Write(make([]byte, streamPiece)) // fills the buffer of net/http
		w.Write(make([]byte, 1))           // and makes it send that
		<-r.Context().Done()
	}), withTLS)
	resp, err := browser(t).Get(s.url("/"))
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	if resp.ProtoMajor != 2 {
		t.Fatalf("it is %s", resp.Proto)
	}
	if n, err := io.ReadFull(resp.Body, make([]byte, streamPiece)); err != nil {
		t.Errorf("after %d bytes were written, %d have come: %v", streamPiece+1, n, err)
	}
}
