package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"sync"
	"testing"

	"github.com/weir-go/weir/weirhttp"
)

// requestLines collects the lines of a request log.
type requestLines struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *requestLines) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

// byPath returns the lines so far, of which there is one for each path.
func (l *requestLines) byPath(t *testing.T) map[string]map[string]any {
	l.mu.Lock()
	defer l.mu.Unlock()
	lines := map[string]map[string]any{}
	for d := json.NewDecoder(bytes.NewReader(l.b.Bytes())); ; {
		var v map[string]any
		err := d.Decode(&v)
		if err == io.EOF {
			return lines
		}
		if err != nil {
			t.Fatal(err)
		}
		path := v["path"].(string)
		if lines[path] != nil {
			t.Errorf("%s has two lines", path)
		}
		lines[path] = v
	}
}

func TestServe_EveryRequestHasOneLineAlsoIfItIsAborted(t *testing.T) {
	t.Parallel()
	var out requestLines
	h := newRequestLog(slog.New(slog.NewJSONHandler(&out, nil))).around(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch r.URL.Path {
		case "/aborts":
			panic(http.ErrAbortHandler)
		case "/says":
			io.WriteString(w, "five!")
		case "/refuses":
			w.WriteHeader(http.StatusTeapot)
		}
	}))
	for _, path := range []string{"/says", "/aborts", "/refuses"} {
		func() {
			defer func() { _ = recover() }()
			h.ServeHTTP(httptest.NewRecorder(), httptest.NewRequest("GET", path, nil))
		}()
	}
	lines := out.byPath(t)
	if l := lines["/says"]; l["bytes"] != 5.0 || l["status"] != 200.0 || l["error"] != nil {
		t.Errorf("%v", l)
	}
	if l := lines["/aborts"]; l["error"] != "aborted" {
		t.Errorf("%v", l)
	}
	if l := lines["/refuses"]; l["status"] != 418.0 {
		t.Errorf("%v", l)
	}
}

func TestServe_RequestThatIsUnfinishedAtTheEndHasOneLine(t *testing.T) {
	t.Parallel()
	var out requestLines
	log := newRequestLog(slog.New(slog.NewJSONHandler(&out, nil)))
	writing, goOn := make(chan struct{}), make(chan struct{})
	h := log.around(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		io.WriteString(w, "five!")
		if r.URL.Path == "/hangs" {
			close(writing)
			<-goOn
		}
	}))
	h.ServeHTTP(httptest.NewRecorder(), httptest.NewRequest("GET", "/returns", nil))
	var work sync.WaitGroup
	work.Go(func() { h.ServeHTTP(httptest.NewRecorder(), httptest.NewRequest("GET", "/hangs", nil)) })
	<-writing
	log.end()
	lines := out.byPath(t)
	if l := lines["/hangs"]; l["bytes"] != 5.0 || l["status"] != 200.0 || l["error"] != errAbandoned.Error() {
		t.Errorf("%v", l)
	}
	if l := lines["/returns"]; l["error"] != nil {
		t.Errorf("%v", l)
	}
	close(goOn)
	work.Wait()
	log.end()
	if lines := out.byPath(t); len(lines) != 2 {
		t.Errorf("%v", lines)
	}
}

func TestServe_LineHasTheStatusThatWasSentWithoutAWord(t *testing.T) {
	t.Parallel()
	var out requestLines
	srv := httptest.NewServer(newRequestLog(slog.New(slog.NewJSONHandler(&out, nil))).around(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/flushes" {
			_ = http.NewResponseController(w).Flush()
			panic(http.ErrAbortHandler)
		}
	})))
	for _, path := range []string{"/flushes", "/returns"} {
		resp, err := srv.Client().Get(srv.URL + path)
		if err != nil {
			t.Fatal(err)
		}
		resp.Body.Close()
		if resp.StatusCode != 200 {
			t.Fatalf("%s: %s", path, resp.Status)
		}
	}
	srv.Close() // waits for the handlers
	lines := out.byPath(t)
	for _, path := range []string{"/flushes", "/returns"} {
		if lines[path]["status"] != 200.0 {
			t.Errorf("%s: %v", path, lines[path])
		}
	}
}

func TestServe_LineOfAFolderThatIsOnlyLookedAtHasItsStatus(t *testing.T) {
	t.Parallel()
	s := startServe(t, t.TempDir())
	r, err := http.NewRequest("HEAD", s.url, nil)
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("Accept", "text/html")
	resp, err := http.DefaultClient.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	resp.Body.Close()
	s.end()
	if all := s.requests(t); len(all) != 1 || all[0].Status != 200 || resp.StatusCode != 200 {
		t.Errorf("%s, and the log says %+v", resp.Status, all)
	}
}

// TestServe_LinesTellOfTheirOwnRequestOverHTTP2 has many downloads of one connection
// that end at the same time.
func TestServe_LinesTellOfTheirOwnRequestOverHTTP2(t *testing.T) {
	t.Parallel()
	const files = 60
	dir := t.TempDir()
	for i := range files {
		if err := os.WriteFile(filepath.Join(dir, fmt.Sprint(i)), make([]byte, 20_000+i), 0o666); err != nil {
			t.Fatal(err)
		}
	}
	root, err := os.OpenRoot(dir)
	if err != nil {
		t.Fatal(err)
	}
	defer root.Close()
	var out requestLines
	srv := httptest.NewUnstartedServer(newRequestLog(slog.New(slog.NewJSONHandler(&out, nil))).around(weirhttp.Files(root)))
	srv.EnableHTTP2 = true
	srv.Config.ErrorLog = slog.NewLogLogger(slog.DiscardHandler, 0) // connections that lose the race to be the one
	srv.StartTLS()
	var wg sync.WaitGroup
	for i := range files {
		wg.Go(func() {
			resp, err := srv.Client().Get(srv.URL + "/" + fmt.Sprint(i))
			if err != nil {
				t.Error(err)
				return
			}
			defer resp.Body.Close()
			if n, err := io.Copy(io.Discard, resp.Body); n != int64(20_000+i) || err != nil || resp.ProtoMajor != 2 {
				t.Errorf("%d bytes over %s, %v", n, resp.Proto, err)
			}
		})
	}
	wg.Wait()
	srv.Close()
	lines := out.byPath(t)
	for i := range files {
		if l := lines["/"+fmt.Sprint(i)]; l["bytes"] != float64(20_000+i) {
			t.Errorf("file %d: %v", i, l)
		}
	}
}

func TestServe_RequestsOfAnOpenMonitorPageAreLoggedOnlyIfTheyFail(t *testing.T) {
	var out bytes.Buffer
	status := http.StatusOK
	h := newRequestLog(slog.New(slog.NewJSONHandler(&out, nil))).around(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.WriteHeader(status)
	}))
	for _, c := range []struct {
		path   string
		status int
		logged bool
	}{
		{"/_weir/transfer.json?group=files&id=1", 200, false},
		{"/_weir/status.json", 200, false},
		{"/_weir/status.json", 403, true},
		{"/_weir/", 200, true},
		{"/status.json", 200, true},
	} {
		out.Reset()
		status = c.status
		h.ServeHTTP(httptest.NewRecorder(), httptest.NewRequest("GET", c.path, nil))
		if (out.Len() > 0) != c.logged {
			t.Errorf("%s, status %d: the log has %q", c.path, c.status, &out)
		}
	}
}
