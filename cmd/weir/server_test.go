package main

import (
	"bytes"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"time"

	"github.com/rogpeppe/go-internal/testscript"
)

// remote is what the server of the scripts has to give, under $URL.
var remote = bytes.Repeat([]byte("a line from far away\n"), 50_000)

// serveFiles gives each script a server of its own.
func serveFiles(env *testscript.Env) error {
	mux := http.NewServeMux()
	content := func(w http.ResponseWriter, r *http.Request, tag string) {
		w.Header().Set("ETag", tag)
		http.ServeContent(w, r, "far.txt", time.Unix(1700000000, 0), bytes.NewReader(remote))
	}
	mux.HandleFunc("GET /far.txt", func(w http.ResponseWriter, r *http.Request) { content(w, r, `"one"`) })

	// The connection breaks after 300,000 bytes, the first three times.
	var tries atomic.Int32
	mux.HandleFunc("GET /breaks.txt", func(w http.ResponseWriter, r *http.Request) {
		if r.Method == http.MethodGet && tries.Add(1) <= 3 {
			w = &breaking{w, 300_000}
		}
		content(w, r, `"one"`)
	})
	// It breaks each time, and is another file after the first.
	var version atomic.Int32
	mux.HandleFunc("GET /changes.txt", func(w http.ResponseWriter, r *http.Request) {
		tag := `"one"`
		if r.Method == http.MethodGet && version.Add(1) > 1 {
			tag = `"two"`
		}
		content(&breaking{w, 300_000}, r, tag)
	})
	mux.HandleFunc("GET /lies.txt", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Length", "1000")
		_, _ = w.Write([]byte("short"))
		panic(http.ErrAbortHandler)
	})
	mux.HandleFunc("GET /secret.txt", func(w http.ResponseWriter, r *http.Request) {
		if user, password, _ := r.BasicAuth(); user != "me" || password != "word" {
			http.Error(w, "who are you?", http.StatusUnauthorized)
			return
		}
		content(w, r, `"one"`)
	})
	dir := env.WorkDir
	mux.HandleFunc("PUT /in/{name}", func(w http.ResponseWriter, r *http.Request) {
		if strings.HasPrefix(r.PathValue("name"), "large") {
			http.Error(w, "too much for me", http.StatusRequestEntityTooLarge)
			return
		}
		body, err := io.ReadAll(r.Body)
		if err == nil {
			err = os.WriteFile(filepath.Join(dir, "in-"+r.PathValue("name")), body, 0o600)
		}
		if err != nil {
			http.Error(w, err.Error(), http.StatusInternalServerError)
			return
		}
		w.WriteHeader(http.StatusCreated)
	})
	srv := httptest.NewServer(mux)
	env.Defer(srv.Close)
	env.Setenv("URL", srv.URL)
	env.Setenv("HOST", strings.TrimPrefix(srv.URL, "http://"))
	return os.WriteFile(filepath.Join(dir, "far.want"), remote, 0o600)
}

// breaking drops the connection after so many bytes.
type breaking struct {
	http.ResponseWriter
	left int
}

func (b *breaking) Write(p []byte) (int, error) {
	if len(p) > b.left {
		_, _ = b.ResponseWriter.Write(p[:b.left])
		_ = http.NewResponseController(b.ResponseWriter).Flush()
		panic(http.ErrAbortHandler)
	}
	b.left -= len(p)
	return b.ResponseWriter.Write(p)
}
