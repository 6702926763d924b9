package weirhttp

import (
	"bytes"
	"crypto/md5"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"io"
	"io/fs"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"testing"
)

// inbox is an Uploads behind a real server.
type inbox struct {
	*httptest.Server
	t   *testing.T
	u   *Uploads
	log *syncBuffer
}

type syncBuffer struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (b *syncBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buf.Write(p)
}

func (b *syncBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buf.String()
}

func newInbox(t *testing.T, u *Uploads) *inbox {
	t.Helper()
	in := unstartedInbox(t, u)
	in.Start()
	return in
}

// unstartedInbox is an inbox whose server can still be changed. It must be started.
func unstartedInbox(t *testing.T, u *Uploads) *inbox {
	t.Helper()
	log := new(syncBuffer)
	if u.Dir == "" {
		u.Dir = t.TempDir()
	}
	u.Log = slog.New(slog.NewTextHandler(log, nil))
	mux := http.NewServeMux()
	mux.Handle("/upload", u)
	mux.Handle("/upload/", u)
	in := &inbox{Server: httptest.NewUnstartedServer(mux), t: t, u: u, log: log}
	in.Config.ConnContext = ConnContext
	t.Cleanup(in.stop)
	return in
}

func (in *inbox) stop() {
	in.Server.Close()
	if err := in.u.Close(); err != nil {
		in.t.Error(err)
	}
}

// impatientInbox is an inbox in which a transfer never counts as moving.
func impatientInbox(t *testing.T, u *Uploads) *inbox {
	t.Helper()
	in := unstartedInbox(t, u)
	d, err := u.open()
	if err != nil {
		t.Fatal(err)
	}
	d.http.moving = 0
	d.users.Done()
	in.Start()
	return in
}

// do sends a request and returns the answer and its body.
func (in *inbox) do(method, path string, body io.Reader, header ...string) (*http.Response, string) {
	in.t.Helper()
	req, err := http.NewRequest(method, in.URL+path, body)
	if err != nil {
		in.t.Fatal(err)
	}
	for i := 0; i < len(header); i += 2 {
		req.Header.Set(header[i], header[i+1])
	}
	res, err := in.Client().Do(req)
	if err != nil {
		in.t.Fatal(err)
	}
	defer res.Body.Close()
	text, err := io.ReadAll(res.Body)
	if err != nil {
		in.t.Fatal(err)
	}
	return res, string(text)
}

func (in *inbox) wantStatus(want int, method, path string, body io.Reader, header ...string) *http.Response {
	in.t.Helper()
	res, text := in.do(method, path, body, header...)
	if res.StatusCode != want {
		in.t.Errorf("%s %s: status %d, want %d: %s", method, path, res.StatusCode, want, text)
	}
	return res
}

// wantFiles checks that the folder holds the files with their contents and
// nothing else, hidden ones included, except records of complete uploads.
func (in *inbox) wantFiles(want map[string]string) {
	in.t.Helper()
	got := map[string]string{}
	err := filepath.WalkDir(in.u.Dir, func(path string, d fs.DirEntry, err error) error {
		if err == nil && !d.IsDir() {
			data, rerr := os.ReadFile(path)
			name, _ := filepath.Rel(in.u.Dir, path)
			var state uploadState
			if json.Unmarshal(data, &state) == nil && state.Phase != uploadArriving || filepath.ToSlash(name) == lockName {
				return rerr
			}
			got[name], err = string(data), rerr
		}
		return err
	})
	if err != nil {
		in.t.Fatal(err)
	}
	for name, content := range want {
		if g, ok := got[name]; !ok || g != content {
			in.t.Errorf("%s: there %v, %d bytes, want %d", name, ok, len(g), len(content))
		}
	}
	for name := range got {
		if _, ok := want[name]; !ok {
			in.t.Errorf("%s is left over", name)
		}
	}
}

// wantNoRoom checks that no room is taken any more.
func (in *inbox) wantNoRoom() {
	in.t.Helper()
	in.u.mu.Lock()
	d := in.u.opened
	in.u.mu.Unlock()
	if d == nil {
		return
	}
	d.users.Wait()
	if _, held, coming := d.ledger.Sums(); held != 0 || coming != 0 {
		in.t.Errorf("%d bytes are held, %d coming", held, coming)
	}
}

// waitMoved waits until n bytes of the upload called name have been stored.
func (in *inbox) waitMoved(name string, n int64) Transfer {
	for {
		for _, x := range DefaultTransfers.List() {
			if x.Name == name && x.Moved >= n {
				return x
			}
		}
		runtime.Gosched()
	}
}

func content(n int) string {
	b := make([]byte, n)
	for i := range b {
		b[i] = byte(i>>8) ^ byte(i)*7
	}
	return string(b)
}

// unsized is a body without a length.
func unsized(s string) io.Reader { return struct{ io.Reader }{strings.NewReader(s)} }

func md5Of(s string) string {
	sum := md5.Sum([]byte(s))
	return base64.StdEncoding.EncodeToString(sum[:])
}

func sha(s string) string {
	sum := sha256.Sum256([]byte(s))
	return hex.EncodeToString(sum[:])
}
