package main

import (
	"embed"
	"html/template"
	"net/http"
	"net/url"
	"path"
	"path/filepath"
	"strings"

	"github.com/weir-go/weir"
	"github.com/weir-go/weir/internal/units"
	"github.com/weir-go/weir/weirhttp"
)

//go:embed ui
var ui embed.FS

var pageTemplate = template.Must(template.New("page.html").Funcs(template.FuncMap{
	"bytes": weir.FormatBytes,
	"link": func(e weirhttp.Entry) string {
		u := (&url.URL{Path: e.Name}).EscapedPath()
		if e.Folder {
			u += "/"
		}
		return "./" + u
	},
}).ParseFS(ui, "ui/page.html"))

// crumb is one folder on the way to the one that is shown.
type crumb struct{ Name, Link string }

// page answers with the listing of a folder, and with what it takes to upload.
// Without JavaScript it is a listing with a form.
func (s *serving) page(w http.ResponseWriter, r *http.Request, l weirhttp.Listing) {
	var crumbs []crumb
	parts := strings.Split(strings.Trim(l.Path, "/"), "/")
	for i, name := range parts {
		if name != "" {
			crumbs = append(crumbs, crumb{name, strings.Repeat("../", len(parts)-1-i) + "./"})
		}
	}
	title := s.name
	if len(crumbs) > 0 {
		title = crumbs[len(crumbs)-1].Name
		crumbs[len(crumbs)-1].Link = ""
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
	pageHeader(w.Header())
	if r.Method == http.MethodHead {
		return
	}
	_ = pageTemplate.Execute(w, map[string]any{ // the client may leave: nobody to tell
		"List": l, "Title": title, "Root": s.name, "Crumbs": crumbs, "Up": strings.Repeat("../", len(crumbs)) + "./",
		"Counts": counts(folders, files, size), "Uploads": s.inbox, "Shown": s.shown, "Max": s.sizes.maxSize,
	})
}

// counts says in words what a folder holds.
func counts(folders, files, size int64) string {
	var parts []string
	if folders > 0 {
		parts = append(parts, units.Count(folders, "folder"))
	}
	if files > 0 {
		parts = append(parts, units.Count(files, "file")+", "+weir.FormatBytes(size))
	}
	return strings.Join(parts, " and ")
}

// pageHeader is what every page says of itself.
func pageHeader(h http.Header) {
	h.Set("Content-Type", "text/html; charset=utf-8")
	h.Set("Content-Security-Policy", "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'")
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("Referrer-Policy", "same-origin")
}

// classify finds out how the page calls the folders, at which paths of the
// server what is uploaded lies (careful), and whether the page may show it there.
// What is at those paths is from anybody, and is sandboxed. They are looked for by
// name and behind symbolic links, since it may be reached in both ways.
func (s *serving) classify() {
	base := func(dir string) string {
		if full, err := filepath.Abs(dir); err == nil {
			dir = full
		}
		return filepath.Base(dir)
	}
	s.name = base(s.dir)
	if s.uploads == "" {
		return
	}
	s.inbox = base(s.uploads)
	resolved := func(dir string) (string, error) {
		dir, err := filepath.Abs(dir)
		if err != nil {
			return "", err
		}
		return filepath.EvalSymlinks(dir)
	}
	for _, as := range []func(string) (string, error){filepath.Abs, resolved} {
		dir, err1 := as(s.dir)
		in, err2 := as(s.uploads)
		if err1 != nil || err2 != nil {
			continue
		}
		rel, err := filepath.Rel(dir, in)
		if err != nil || !filepath.IsLocal(rel) {
			continue
		}
		at := path.Join("/", filepath.ToSlash(rel))
		s.careful = append(s.careful, at)
		if s.hidden || !strings.Contains(at, "/.") {
			s.shown = (&url.URL{Path: at}).EscapedPath()
		}
	}
}

// serveAsset answers with what the page is made of.
func serveAsset(w http.ResponseWriter, r *http.Request) {
	name := path.Base(r.URL.Path)
	switch name {
	case "page.js", "upload.js", "page.css", "icon.svg":
		w.Header().Set("Cache-Control", "no-cache")
		w.Header().Set("X-Content-Type-Options", "nosniff")
		http.ServeFileFS(w, r, ui, "ui/"+name)
	default:
		http.NotFound(w, r)
	}
}
