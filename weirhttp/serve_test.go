package weirhttp

import (
	"bufio"
	"context"
	"crypto/tls"
	"io"
	"log/slog"
	"math/rand/v2"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/weir-go/weir/internal/race"
)

// site is a server under a guard, for one test.
type site struct {
	g    *Guard
	addr string
	tls  bool
	srv  *http.Server
}

// guarded serves h under g until the test ends, and checks then that nothing
// of it is left.
func guarded(t *testing.T, g *Guard, h http.Handler, change ...func(*http.Server)) *site {
	t.Helper()
	nothingLeft(t)
	if g.Log == nil {
		g.Log = slog.New(slog.DiscardHandler)
	}
	if g.Transfers == nil {
		g.Transfers = new(Transfers)
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	srv := &http.Server{Handler: h, ErrorLog: slog.NewLogLogger(slog.DiscardHandler, 0)}
	for _, f := range change {
		f(srv)
	}
	s := &site{g: g, addr: l.Addr().String(), srv: srv, tls: srv.TLSConfig != nil}
	served := make(chan error, 1)
	go func() { served <- g.Serve(srv, l) }()
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
		defer cancel()
		if err := g.Shutdown(ctx); err != nil {
			t.Errorf("Shutdown: %v", err)
		}
		if err := <-served; err != http.ErrServerClosed {
			t.Errorf("Serve returned %v", err)
		}
	})
	return s
}

// withTLS makes a server one of TLS, with HTTP/2.
func withTLS(srv *http.Server) {
	h := httptest.NewUnstartedServer(nil)
	h.StartTLS()
	h.Close()
	srv.TLSConfig = &tls.Config{Certificates: h.TLS.Certificates, NextProtos: []string{"h2", "http/1.1"}}
}

func (s *site) url(path string) string {
	if s.tls {
		return "https://" + s.addr + path
	}
	return "http://" + s.addr + path
}

// browser returns a client with connections of its own.
func browser(t *testing.T) *http.Client {
	tr := &http.Transport{
		DisableCompression: true, ForceAttemptHTTP2: true,
		TLSClientConfig: &tls.Config{InsecureSkipVerify: true},
	}
	t.Cleanup(tr.CloseIdleConnections)
	return &http.Client{Transport: tr, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
}

// fetch asks for a path and reads the answer.
func (s *site) fetch(t *testing.T, c *http.Client, method, path string, header ...string) (*http.Response, string) {
	t.Helper()
	return fetch(t, c, method, s.url(path), header...)
}

// fetch asks for a URL and reads the answer.
func fetch(t *testing.T, c *http.Client, method, url string, header ...string) (*http.Response, string) {
	t.Helper()
	req, err := http.NewRequest(method, url, nil)
	if err != nil {
		t.Fatal(err)
	}
	for i := 0; i < len(header); i += 2 {
		req.Header.Add(header[i], header[i+1])
	}
	resp, err := c.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatalf("%s %s %q: reading the body: %v", method, url, header, err)
	}
	return resp, string(b)
}

// dial connects with a receive buffer of rcvbuf bytes, or the system's if 0.
func (s *site) dial(t *testing.T, rcvbuf int) net.Conn {
	t.Helper()
	d := net.Dialer{Control: func(_, _ string, raw syscall.RawConn) error {
		return raw.Control(func(fd uintptr) {
			if rcvbuf > 0 {
				setRcvbuf(fd, rcvbuf)
			}
		})
	}}
	c, err := d.Dial("tcp", s.addr)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	return c
}

// ask sends a request over c and reads the header of the answer.
func ask(t *testing.T, c net.Conn, br *bufio.Reader, path string, header ...string) *http.Response {
	t.Helper()
	req, _ := http.NewRequest("GET", "http://weir.test"+path, nil)
	for i := 0; i < len(header); i += 2 {
		req.Header.Set(header[i], header[i+1])
	}
	if err := req.Write(c); err != nil {
		t.Fatal(err)
	}
	resp, err := http.ReadResponse(br, req)
	if err != nil {
		t.Fatal(err)
	}
	return resp
}

var (
	checked  sync.Map // tests that nothingLeft looks after
	together sync.Map // names of the tests that run at the same time as others

	openBefore sync.Once
	openThen   int // descriptors when the first of those began
)

// atOnce lets a test that mostly waits run at the same time as others like it, after all
// the tests that do not. What such a test leaves is found when all have ended, by
// [TestMain]. Under the race detector each runs alone: several at once would keep
// each other's clients waiting for longer than the servers allow.
func atOnce(t *testing.T) {
	t.Helper()
	if race.Enabled {
		return
	}
	together.Store(t.Name(), true)
	t.Parallel()
	openBefore.Do(func() { openThen = openFiles() })
}

// nothingLeft fails the test if it leaves a goroutine or a descriptor.
func nothingLeft(t *testing.T) {
	t.Helper()
	if _, again := checked.LoadOrStore(t, true); again {
		return
	}
	root, _, _ := strings.Cut(t.Name(), "/")
	if _, ok := together.Load(root); ok {
		return
	}
	before := openFiles()
	others := goleak.IgnoreCurrent()
	t.Cleanup(func() {
		goleak.VerifyNone(t, others)
		eventually(t, func() bool { return openFiles() <= before }, "descriptors are left")
	})
}

// openFiles counts the descriptors of the process, where that can be done.
func openFiles() int {
	if runtime.GOOS != "linux" {
		return 0
	}
	d, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		return 0
	}
	n := 0
	for _, e := range d {
		// The poller's own are made once and stay.
		if to, err := os.Readlink("/proc/self/fd/" + e.Name()); err == nil && !isPoller(to) {
			n++
		}
	}
	return n
}

func isPoller(target string) bool {
	return target == "anon_inode:[eventpoll]" || target == "anon_inode:[eventfd]"
}

// eventually waits until ok, which must come true soon.
func eventually(t *testing.T, ok func() bool, what string) {
	t.Helper()
	for end := time.Now().Add(5 * time.Second); !ok(); time.Sleep(2 * time.Millisecond) {
		if time.Now().After(end) {
			t.Error(what)
			return
		}
	}
}

// tree makes a folder of files for a test.
func tree(t *testing.T, files map[string]string) *os.Root {
	t.Helper()
	dir := t.TempDir()
	old := time.Now().Add(-time.Hour)
	for name, body := range files {
		path := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(body), 0o644); err != nil {
			t.Fatal(err)
		}
		if err := os.Chtimes(path, old, old); err != nil {
			t.Fatal(err)
		}
	}
	root, err := os.OpenRoot(dir)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { root.Close() })
	return root
}

// quiet is a handler for files that does not log.
func quiet(root *os.Root) *FileServer {
	s := Files(root)
	s.Log = slog.New(slog.DiscardHandler)
	return s
}

// pattern returns n bytes in which every place can be told from the others.
func pattern(n int) string {
	b := make([]byte, n)
	rand.NewChaCha8([32]byte{}).Read(b)
	return string(b)
}
