package weirhttp

import (
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"
)

// stopsAt is a handler that stops after n bytes of the first body that is longer, until
// goOn is closed.
type stopsAt struct {
	http.Handler
	n       int64
	once    sync.Once
	reached chan struct{}
	goOn    chan struct{}
}

func (s *stopsAt) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if r.ContentLength > s.n {
		s.once.Do(func() {
			r.Body = &stopping{ReadCloser: r.Body, left: s.n, h: s}
		})
	}
	s.Handler.ServeHTTP(w, r)
}

type stopping struct {
	io.ReadCloser
	left int64
	h    *stopsAt
}

func (s *stopping) Read(p []byte) (int, error) {
	if s.left == 0 {
		close(s.h.reached)
		<-s.h.goOn
		s.left = -1
	}
	if s.left > 0 && int64(len(p)) > s.left {
		p = p[:s.left]
	}
	n, err := s.ReadCloser.Read(p)
	if s.left > 0 {
		s.left -= int64(n)
	}
	return n, err
}

// jsClient returns a function that makes a command of a script in testdata/tus-js and its
// arguments. It skips the test if tus-js-client is not installed.
func jsClient(t *testing.T) func(args ...string) *exec.Cmd {
	t.Helper()
	node, err := exec.LookPath("node")
	if err != nil {
		t.Skip(err)
	}
	const dir = "testdata/tus-js"
	if _, err := os.Stat(filepath.Join(dir, "node_modules", "tus-js-client")); err != nil {
		t.Skip("npm ci has not run in " + dir)
	}
	return func(args ...string) *exec.Cmd {
		cmd := exec.CommandContext(t.Context(), node, args...)
		cmd.Dir = dir
		return cmd
	}
}

func TestTus_JSClientResumesAfterItsServerWasRestarted(t *testing.T) {
	client := jsClient(t)
	dir, all := t.TempDir(), content(8<<20)
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, []byte(all), 0o644); err != nil {
		t.Fatal(err)
	}
	serve := func(addr string, n int64) (*httptest.Server, *Uploads, *stopsAt) {
		u := &Uploads{Dir: dir, Sync: true, Stall: 5 * time.Second}
		h := &stopsAt{Handler: u, n: n, reached: make(chan struct{}), goOn: make(chan struct{})}
		l, err := net.Listen("tcp", addr)
		if err != nil {
			t.Fatal(err)
		}
		s := &httptest.Server{Listener: l, Config: &http.Server{Handler: h}}
		s.Start()
		return s, u, h
	}
	before := DefaultTransfers.Totals().BytesIn
	first, u, h := serve("127.0.0.1:0", 3<<20)
	cmd := client("upload.js", first.URL+"/files/", file, "6000000")
	var out strings.Builder
	cmd.Stdout, cmd.Stderr = &out, &out
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	<-h.reached
	first.CloseClientConnections()
	close(h.goOn)
	first.Close()
	if err := u.Close(); err != nil {
		t.Error(err)
	}
	second, u, _ := serve(first.Listener.Addr().String(), 1<<40)
	if err := cmd.Wait(); err != nil || !strings.HasPrefix(out.String(), first.URL+"/files/") {
		t.Errorf("%v: %s", err, &out)
	}
	second.Close()
	if err := u.Close(); err != nil {
		t.Error(err)
	}
	if n := DefaultTransfers.Totals().BytesIn - before; n != int64(len(all)) {
		t.Errorf("%d bytes came, of a file of %d", n, len(all))
	}
	if got, err := os.ReadFile(filepath.Join(dir, "from-js.bin")); err != nil || string(got) != all {
		t.Errorf("%d bytes, %v", len(got), err)
	}
}
