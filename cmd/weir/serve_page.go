package main

import (
	"bytes"
	"embed"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"path"
	"strconv"
	"strings"
	"time"

	"github.com/weir-go/weir"
	"github.com/weir-go/weir/internal/markup"
	"github.com/weir-go/weir/internal/units"
	"github.com/weir-go/weir/weirhttp"
)

//go:embed ui
var ui embed.FS

//go:embed ui/symbols.svg
var symbols string

// folderPage is the page of a folder.
type folderPage struct {
	list       weirhttp.Listing
	root       string // name of the served folder
	title      string // name of this folder
	crumbs     []crumb
	inbox      string // name of the folder for uploads; "": none are taken
	max        int64  // bytes of an upload; 0: any number
	maxRequest int64  // bytes that one request can bring; 0: any number
	into       string // path of this folder if uploads go there; "": they go to the inbox
}

// writeTop writes the top of the page, which needs no entries.
func (p *folderPage) writeTop(out io.Writer) error {
	w := markup.NewWriter(out)
	writeHead(w, p.title)
	w.HTML(`
<script src="/_weir/list.js" defer></script>
`)
	if p.inbox != "" {
		w.HTML(`<script src="/_weir/upload.js" defer></script>
<script src="/_weir/page.js" defer></script>
`)
	}
	w.HTML(`</head>
<body>
`).Trusted(symbols)
	p.writePath(w)
	w.HTML(`<main>
`)
	if p.inbox != "" {
		p.writeUpload(w)
	}
	p.writeFilter(w)
	return w.Flush()
}

// writePath writes the path of the folder, with links to the folders above.
func (p *folderPage) writePath(w *markup.Writer) {
	w.HTML(`<header>
<nav aria-label="Folders"><h1>`)
	if len(p.crumbs) == 0 {
		w.HTML(`<bdi aria-current="page">`).Text(p.root).HTML(`</bdi>`)
	} else {
		w.HTML(`<a href="`).Link(strings.Repeat("../", len(p.crumbs)) + "./").HTML(`"><bdi>`).Text(p.root).HTML(`</bdi></a>`)
	}
	for _, c := range p.crumbs {
		w.HTML(` <span class="slash">/</span> `)
		if c.Link == "" {
			w.HTML(`<bdi aria-current="page">`).Text(c.Name).HTML(`</bdi>`)
		} else {
			w.HTML(`<a href="`).Link(c.Link).HTML(`"><bdi>`).Text(c.Name).HTML(`</bdi></a>`)
		}
	}
	w.HTML(`</h1></nav>
</header>
`)
}

// writeUpload writes the means to upload. Without JavaScript they are a form.
func (p *folderPage) writeUpload(w *markup.Writer) {
	w.HTML(`<section id="drop" aria-label="Upload" data-max="`).Int(p.max).HTML(`" data-inbox="`).Text(p.inbox).HTML(`"`)
	if p.maxRequest != 0 {
		w.HTML(` data-request="`).Int(p.maxRequest).HTML(`"`)
	}
	action := "/_upload/"
	if p.into != "" {
		w.HTML(` data-into="`).Text(p.into).HTML(`"`)
		action += "?" + url.Values{"folder": {p.into}}.Encode()
	}
	w.HTML(`>
<form action="`).Link(action).HTML(`" method="post" enctype="multipart/form-data">
<label class="pick"><span class="button">Choose files</span><input type="file" name="file" multiple required></label>
`)
	what := "them"
	if p.into != "" {
		what = "files and folders"
		w.HTML(`<label class="pick script"><span class="button plain">Choose a folder</span><input type="file" webkitdirectory tabindex="0"></label>
`)
	}
	w.HTML(`<button class="button">Upload</button>
<p><span class="hint">or drop `).Text(what).HTML(` anywhere on this page</span><span class="quiet">`)
	if p.into != "" {
		w.HTML(`Stored in <b>`).Text(p.title).HTML(`</b>`)
	} else {
		w.HTML(`Kept in <b>`).Text(p.inbox).HTML(`</b>`)
	}
	if p.max != 0 {
		w.HTML(`, up to `).Text(weir.FormatBytes(p.max)).HTML(` each`)
	}
	w.HTML(`.</span></p>
</form>
<p id="told" role="status" class="unseen"></p>
<p id="note" role="alert" class="reason" hidden></p>
<p id="sum" class="quiet" hidden></p>
<ul id="uploads" aria-label="Uploads"></ul>
</section>
`)
}

// writeFilter writes the form to filter with, which keeps the order.
func (p *folderPage) writeFilter(w *markup.Writer) {
	s := p.list.Selection
	w.HTML(`<form id="filter" role="search"`)
	if s.Filter != "" {
		w.HTML(` class="used"`)
	}
	w.HTML(`>
<input type="search" name="q" value="`).Text(s.Filter).HTML(`" placeholder="Filter by name" aria-label="Filter by name" autocomplete="off" spellcheck="false" maxlength="200">
`)
	if s.Sort != "name" {
		w.HTML(`<input type="hidden" name="sort" value="`).Text(s.Sort).HTML(`">
`)
	}
	if s.Desc {
		w.HTML(`<input type="hidden" name="order" value="desc">
`)
	}
	w.HTML(`<button class="button">Filter</button>
</form>
`)
}

// writeRest writes the rest of the page: the entries, notes about them, and the README.
func (p *folderPage) writeRest(out io.Writer) error {
	w := markup.NewWriter(out)
	l := p.list
	w.HTML(`<div id="list">
`)
	p.writeAbout(w)
	p.writeTable(w)
	if l.Pages() > 1 {
		p.writePages(w)
	}
	if l.Cut {
		w.HTML(`<p class="quiet">This folder has more names than can be listed here. Use the filter.</p>
`)
	}
	if l.LeftOut > 0 {
		w.HTML(`<p class="quiet">Not listed because the server cannot send them: `).Int(int64(l.LeftOut)).HTML(`</p>
`)
	}
	if l.Readme != nil {
		writeReadme(w, l.Readme)
	}
	return w.HTML(`</div>
</main>
</body>
</html>
`).Flush()
}

// writeAbout writes how much the listing shows, and whether it is complete.
func (p *folderPage) writeAbout(w *markup.Writer) {
	w.HTML(`<p class="quiet about"><span id="counts">`).Text(counts(p.list)).HTML(`</span>`)
	if p.list.Archive && len(p.list.Entries) > 0 {
		w.HTML(`<span class="all">Download all as <a href="?archive=zip">zip</a>, <a href="?archive=tar">tar</a>, <a href="?archive=tar.gz">tar.gz</a> or <a href="?archive=tar.zst">tar.zst</a></span>`)
	}
	w.HTML(`</p>
`)
	if p.list.Err != nil {
		w.HTML(`<p class="reason" role="alert">This folder could not be read: the server is busy. <a href="">Try again</a></p>
`)
	}
}

// writeTable writes the entries.
func (p *folderPage) writeTable(w *markup.Writer) {
	w.HTML(`<table>
<thead><tr>`)
	for _, c := range columnsOf(p.list.Selection) {
		c.write(w)
	}
	w.HTML(`</tr></thead>
<tbody>
`)
	if len(p.crumbs) > 0 {
		w.HTML(`<tr class="above"><td><a href="../"><svg aria-hidden="true"><use href="#folder"/></svg><span>.. <span class="quiet">the folder above</span></span></a></td><td></td><td class="when"></td></tr>
`)
	}
	for _, e := range p.list.Entries {
		if w.Err() != nil {
			return
		}
		writeEntry(w, e)
	}
	if len(p.list.Entries) == 0 && p.list.Err == nil {
		p.writeNone(w)
	}
	w.HTML(`</tbody>
</table>
`)
}

// writeEntry writes the row of a file or folder.
func writeEntry(w *markup.Writer, e weirhttp.Entry) {
	w.HTML(`<tr><td><a href="`).Link(e.Href).HTML(`">`)
	if e.Folder {
		w.HTML(`<svg aria-hidden="true" class="folder"><use href="#folder"/></svg><span><bdi>`).Text(e.Label()).HTML(`</bdi>/</span></a></td>`)
		w.HTML(`<td class="n"></td>`)
	} else {
		w.HTML(`<svg aria-hidden="true"><use href="#file"/></svg><span><bdi>`).Text(e.Label()).HTML(`</bdi></span></a></td>`)
		w.HTML(`<td class="n" title="`).Int(e.Size).HTML(` bytes">`).Text(weir.FormatBytes(e.Size)).HTML(`</td>`)
	}
	w.HTML(`<td class="n when"><time datetime="`).Text(e.Modified.Format(time.RFC3339)).HTML(`">`)
	w.Text(e.Modified.Format("2006-01-02 15:04")).HTML(`</time></td></tr>
`)
}

// writeNone explains a table without entries.
func (p *folderPage) writeNone(w *markup.Writer) {
	w.HTML(`<tr class="none"><td colspan="3" class="empty">`)
	if f := p.list.Selection.Filter; f != "" {
		w.HTML(`No name here contains “`).Text(f).HTML(`”. <a href="./">Show all</a>`)
	} else {
		w.HTML(`There is nothing here yet.`)
	}
	w.HTML(`</td></tr>
`)
}

// writePages writes the links to other pages.
func (p *folderPage) writePages(w *markup.Writer) {
	w.HTML(`<nav class="pages" aria-label="Pages">`)
	for _, n := range p.list.Around() {
		switch n {
		case 0:
			w.HTML(`<span>…</span>`)
		case p.list.Selection.Page:
			w.HTML(`<b aria-current="page">`).Int(int64(n)).HTML(`</b>`)
		default:
			w.HTML(`<a href="`).Link(p.list.Selection.At(n).Link()).HTML(`">`).Int(int64(n)).HTML(`</a>`)
		}
	}
	w.HTML(`</nav>
`)
}

func writeReadme(w *markup.Writer, r *weirhttp.Readme) {
	w.HTML(`<section id="readme" aria-label="`).Text(r.Name).HTML(`">
<h2>`).Text(r.Name).HTML(`</h2>
<pre>`).Text(r.Text).HTML(`</pre>
`)
	if r.Cut {
		w.HTML(`<p class="quiet">The file is longer.</p>
`)
	}
	w.HTML(`</section>
`)
}

// writeHead writes the beginning of a page, up to its style.
func writeHead(w *markup.Writer, title string) {
	w.HTML(`<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<title>`).Text(title).HTML(`</title>
<link rel="icon" href="/_weir/icon.svg">
<link rel="stylesheet" href="/_weir/page.css">`)
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

// write writes the head of the column.
func (c column) write(w *markup.Writer) {
	w.HTML(`<th scope="col" class="`).Text(c.Class).HTML(`"`)
	if c.Sorted != "" {
		w.HTML(` aria-sort="`).Text(c.Sorted).HTML(`"`)
	}
	w.HTML(`><a href="`).Link(c.Link).HTML(`">`).Text(c.Title).HTML(`</a>`)
	if c.Title == "Modified" {
		w.HTML(` <abbr class="zone" title="Coordinated Universal Time">UTC</abbr>`)
	}
	w.HTML(`</th>`)
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
	if err := writeFormPage(&page, files, refused, back); err != nil {
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

// writeFormPage writes the page after a form: the stored files, or the reason for a refusal.
func writeFormPage(out io.Writer, files []weirhttp.Received, refused, back string) error {
	w := markup.NewWriter(out)
	title := "Uploaded"
	if refused != "" {
		title = "Not uploaded"
	}
	w.HTML(`<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>`).Text(title).HTML(`</title>
<link rel="icon" href="/_weir/icon.svg">
<link rel="stylesheet" href="/_weir/page.css">
</head>
<body>
<main class="note">
<h1>`).Text(title).HTML(`</h1>
`)
	if refused != "" {
		w.HTML(`<p class="reason">`).Text(refused).HTML(`</p>
`)
	} else {
		w.HTML(`<ul>`)
		for _, f := range files {
			w.HTML(`<li>`).Text(f.Name).HTML(` <span class="quiet">`).Text(weir.FormatBytes(f.Size)).HTML(`</span></li>`)
		}
		w.HTML(`</ul>
`)
	}
	return w.HTML(`<p><a class="button" href="`).Link(back).HTML(`">Back to the files</a></p>
</main>
</body>
</html>
`).Flush()
}
