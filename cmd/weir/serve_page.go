package main

import (
	"bytes"
	"embed"
	"encoding/json"
	"fmt"
	"html/template"
	"net/http"
	"path"
	"strconv"
	"strings"

	"github.com/weir-go/weir"
	"github.com/weir-go/weir/internal/units"
	"github.com/weir-go/weir/weirhttp"
)

//go:embed ui
var ui embed.FS

var (
	topTemplate  = parsePage("top.html")
	pageTemplate = parsePage("page.html")
)

func parsePage(name string) *template.Template {
	return template.Must(template.New(name).Funcs(template.FuncMap{"bytes": weir.FormatBytes}).ParseFS(ui, "ui/head.html", "ui/"+name))
}

// crumb is a link to one of the folders above the listed one.
type crumb struct{ Name, Link string }

// column is the head of a column, which sorts the listing.
type column struct{ Title, Class, Link, Sorted string }

func columnsOf(s weirhttp.Selection) (list []column) {
	for _, c := range [...][3]string{{"name", "Name", ""}, {"size", "Size", "n"}, {"time", "Modified", "n when"}} {
		sorted := ""
		if c[0] == s.Sort {
			sorted = "ascending"
			if s.Desc {
				sorted = "descending"
			}
		}
		list = append(list, column{c[1], c[2], s.By(c[0]).Link(), sorted})
	}
	return list
}

// counts describes in words how much the listing shows. It adds up sizes only if all of
// the folder is on the page.
func counts(l weirhttp.Listing) string {
	if len(l.Entries) < l.Total {
		text := fmt.Sprintf("%d to %d of %s", l.First(), l.Last(), units.Count(int64(l.Total), "name"))
		if l.Err != nil || len(l.Entries) == 0 {
			text = units.Count(int64(l.Total), "name")
		}
		return text
	}
	var folders, files, size int64
	for _, e := range l.Entries {
		if e.Folder {
			folders++
			continue
		}
		files++
		size += e.Size
	}
	var parts []string
	if folders > 0 {
		parts = append(parts, units.Count(folders, "folder"))
	}
	if files > 0 {
		parts = append(parts, units.Count(files, "file")+", "+weir.FormatBytes(size))
	}
	return strings.Join(parts, " and ")
}

// pageHeader sets the header fields that every page has.
func pageHeader(h http.Header) {
	h.Set("Content-Type", "text/html; charset=utf-8")
	h.Set("Content-Security-Policy", "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'")
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("Referrer-Policy", "same-origin")
}

// serveAsset serves the scripts, style and icon of the page.
func serveAsset(w http.ResponseWriter, r *http.Request) {
	name := path.Base(r.URL.Path)
	switch name {
	case "list.js", "page.js", "upload.js", "page.css", "icon.svg":
		w.Header().Set("Cache-Control", "no-cache")
		w.Header().Set("X-Content-Type-Options", "nosniff")
		http.ServeFileFS(w, r, ui, "ui/"+name)
	default:
		http.NotFound(w, r)
	}
}

var formTemplate = parsePage("form.html")

// formAnswer answers the form of a browser with a page. Other clients get the answer of
// h.
func formAnswer(h http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method != http.MethodPost || !strings.Contains(r.Header.Get("Accept"), "text/html") ||
			!strings.HasPrefix(r.Header.Get("Content-Type"), "multipart/form-data") {
			h.ServeHTTP(w, r)
			return
		}
		f := &formWriter{ResponseWriter: w, back: r.Referer()}
		h.ServeHTTP(f, r)
		if !f.sent { // after a refusal the connection can be gone
			_ = f.FlushError() // an error means that the client has disconnected
		}
	})
}

// formWriter collects an answer, which is short, and sends it as a page.
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

// FlushError sends the page. The handler calls it before it drops the rest of a refused
// body.
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
	// The connection can end after the page. Without a length the last chunk would be
	// missing, and some browsers show nothing of such a page.
	h.Set("Content-Length", strconv.Itoa(page.Len()))
	f.ResponseWriter.WriteHeader(f.status)
	_, err := f.ResponseWriter.Write(page.Bytes())
	return err
}
