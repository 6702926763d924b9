package main

import (
	"embed"
	"html/template"
	"net/http"
	"net/url"
	"path"
	"strings"

	"github.com/weir-go/weir"
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
	h := w.Header()
	h.Set("Content-Type", "text/html; charset=utf-8")
	h.Set("Content-Security-Policy", "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'")
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("Referrer-Policy", "no-referrer")
	if r.Method == http.MethodHead {
		return
	}
	_ = pageTemplate.Execute(w, map[string]any{ // the client may leave: nobody to tell
		"List": l, "Crumbs": crumbs, "Up": strings.Repeat("../", len(crumbs)) + "./", "Uploads": s.uploads != "", "Max": s.maxSize,
		"Archives": !s.noList,
	})
}

// serveAsset answers with what the page is made of.
func serveAsset(w http.ResponseWriter, r *http.Request) {
	name := path.Base(r.URL.Path)
	switch name {
	case "page.js", "page.css":
		w.Header().Set("Cache-Control", "no-cache")
		http.ServeFileFS(w, r, ui, "ui/"+name)
	default:
		http.NotFound(w, r)
	}
}
