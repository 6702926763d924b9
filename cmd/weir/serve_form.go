package main

import (
	"bytes"
	"encoding/json"
	"html/template"
	"net/http"
	"strconv"
	"strings"

	"github.com/weir-go/weir"
	"github.com/weir-go/weir/weirhttp"
)

var formTemplate = template.Must(template.New("form.html").Funcs(template.FuncMap{"bytes": weir.FormatBytes}).ParseFS(ui, "ui/form.html"))

// formAnswer makes the answer to a browser's form a page. Everybody else gets
// what h says.
func formAnswer(h http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method != http.MethodPost || !strings.Contains(r.Header.Get("Accept"), "text/html") ||
			!strings.HasPrefix(r.Header.Get("Content-Type"), "multipart/form-data") {
			h.ServeHTTP(w, r)
			return
		}
		f := &formWriter{ResponseWriter: w, back: r.Referer()}
		h.ServeHTTP(f, r)
		if !f.sent { // a connection whose client was refused is gone by now
			_ = f.FlushError() // the client may have gone: nobody to tell
		}
	})
}

// formWriter keeps an answer, which is short, to say the same as a page.
type formWriter struct {
	http.ResponseWriter
	back   string
	status int
	text   bytes.Buffer
	sent   bool
}

// Unwrap is for http.ResponseController.
func (f *formWriter) Unwrap() http.ResponseWriter { return f.ResponseWriter }

func (f *formWriter) WriteHeader(status int) {
	if status < 200 {
		f.ResponseWriter.WriteHeader(status)
		return
	}
	f.status = status
}

func (f *formWriter) Write(p []byte) (int, error) { return f.text.Write(p) }

// FlushError sends the page. The handler calls it before it listens on to a
// client that was refused.
func (f *formWriter) FlushError() error {
	if !f.sent && f.status != 0 {
		f.sent = true
		if err := f.send(); err != nil {
			return err
		}
	}
	return http.NewResponseController(f.ResponseWriter).Flush()
}

func (f *formWriter) send() error {
	var files []weirhttp.Received
	refused := ""
	if f.status >= 300 || json.Unmarshal(f.text.Bytes(), &files) != nil {
		refused = strings.TrimSpace(f.text.String())
	}
	back := "/"
	if strings.HasPrefix(f.back, "http://") || strings.HasPrefix(f.back, "https://") {
		back = f.back
	}
	var page bytes.Buffer
	if err := formTemplate.Execute(&page, map[string]any{"Files": files, "Refused": refused, "Back": back}); err != nil {
		return err
	}
	h := f.Header()
	pageHeader(h)
	// The connection may end behind the page without the chunk that ends a page of
	// unknown length, and a browser shows nothing of such a page at times.
	h.Set("Content-Length", strconv.Itoa(page.Len()))
	f.ResponseWriter.WriteHeader(f.status)
	_, err := f.ResponseWriter.Write(page.Bytes())
	return err
}
