package main

import (
	"errors"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"testing"
	"time"

	"github.com/weir-go/weir/internal/golden"
	"github.com/weir-go/weir/weirhttp"
)

// sameAsGolden compares a page with testdata/page/name.html.
func sameAsGolden(t *testing.T, name string, page []byte) {
	t.Helper()
	golden.Compare(t, filepath.Join("testdata", "page", name+".html"), page)
}

// hostile is a text that must not become markup.
const hostile = "<script>alert('1')</script>\" onload=x &amp; \x00\x01\x7f\xff\u202e\u2028 50%+1"

func TestServe_PageOfAFolderIsAsInTheGoldenFile(t *testing.T) {
	at := time.Date(2026, 2, 3, 4, 5, 6, 0, time.UTC)
	entries := []weirhttp.Entry{
		{Name: "Bilder", Folder: true, Modified: at, Href: "./Bilder/"},
		{Name: hostile, Size: 1 << 20, Modified: at, Href: "./%3Cscript%3E%22%27%00%FF/"},
		{Name: "a'\"<b>&amp;.txt", Size: 1, Modified: at.Add(time.Hour), Href: `./"><b>'()ä %zz%41#x?y=1&z`},
		{Name: "javascript:alert(1)", Modified: at, Href: "javascript:alert(1)"},
		{Name: "a+b", Modified: at, Href: "./a+b"},
	}
	usual := weirhttp.Selection{Sort: "name", Page: 1, Limit: 500}
	for name, c := range map[string]struct {
		s *serving
		l weirhttp.Listing
	}{
		"empty":       {&serving{name: "files"}, weirhttp.Listing{Path: "/", Selection: usual}},
		"hostile-dir": {&serving{name: hostile}, weirhttp.Listing{Path: "/" + hostile + "/b'c/\"d/", Entries: entries, Total: len(entries), Archive: true, Selection: usual}},
		"no-match": {&serving{name: "files", inbox: "in<box>", sizes: sizes{maxSize: 3 << 20}},
			weirhttp.Listing{Path: "/a/", Selection: weirhttp.Selection{Sort: "name", Filter: hostile, Page: 1, Limit: 500}}},
		"busy": {&serving{name: "files"}, weirhttp.Listing{Path: "/a/", Err: errors.New("no memory"), Entries: entries[:1], Total: 7, Selection: usual}},
		"uploads": {&serving{name: "files", inbox: "in", sameFolder: true, sizes: sizes{maxSize: 1 << 30, maxRequest: 1 << 20}},
			weirhttp.Listing{Path: "/a b/\"'&<x>/", Entries: entries, Total: 21, Cut: true, LeftOut: 4, Archive: true,
				Selection: weirhttp.Selection{Sort: "time", Desc: true, Filter: "a+b & <c>", Page: 2, Limit: 2},
				Readme:    &weirhttp.Readme{Name: "README<b>.md", Text: "# A \"title\"\n\n\n<script>x()</script>\n&amp; 'done'", Cut: true}}},
	} {
		t.Run(name, func(t *testing.T) {
			w, r := httptest.NewRecorder(), httptest.NewRequest("GET", "/", nil)
			c.s.pageTop(w, r, c.l)
			c.s.page(w, r, c.l)
			sameAsGolden(t, name, w.Body.Bytes())
		})
	}
}

func TestServe_PageOfAnErrorIsAsInTheGoldenFile(t *testing.T) {
	for name, c := range map[string]struct {
		status     int
		path, said string
	}{
		"error-not-found": {404, "/a/b%20'c/d", "404 page not found"},
		"error-busy":      {503, "/a", "<b>no \"memory\"</b> & 'more'\x00\xff"},
	} {
		t.Run(name, func(t *testing.T) {
			w, r := httptest.NewRecorder(), httptest.NewRequest("GET", c.path, nil)
			r.Header.Set("Accept", "text/html")
			errorPages(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { http.Error(w, c.said, c.status) })).ServeHTTP(w, r)
			sameAsGolden(t, name, w.Body.Bytes())
		})
	}
}

func TestServe_PageAfterAFormIsAsInTheGoldenFile(t *testing.T) {
	for name, c := range map[string]struct {
		status         int
		answer, origin string
	}{
		"form-stored":  {201, `[{"name":"a<b>'\"&.txt","size":1048576},{"name":"c\u0000+","size":0}]`, "https://host.example/a?q=\"'<>&x=%zz%41"},
		"form-refused": {409, "a <file> with this name exists: \"a'b\"\n", "javascript:alert(1)"},
	} {
		t.Run(name, func(t *testing.T) {
			w, r := httptest.NewRecorder(), httptest.NewRequest("POST", "/_upload/", nil)
			r.Header.Set("Accept", "text/html")
			r.Header.Set("Content-Type", "multipart/form-data; boundary=x")
			r.Header.Set("Referer", c.origin)
			formAnswer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				w.WriteHeader(c.status)
				_, _ = w.Write([]byte(c.answer))
			})).ServeHTTP(w, r)
			sameAsGolden(t, name, w.Body.Bytes())
		})
	}
}
