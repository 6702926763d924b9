package weirhttp

import (
	"cmp"
	"encoding/json"
	"errors"
	"html/template"
	"io"
	"io/fs"
	"net/http"
	"net/url"
	"path"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/weir-go/weir"
	"github.com/weir-go/weir/internal/chars"
	"github.com/weir-go/weir/weirhttp/internal/dirents"
	"github.com/weir-go/weir/weirhttp/internal/names"
	"github.com/weir-go/weir/weirhttp/internal/natural"
)

const (
	mostListed   = 100_000   // most names that a listing can reach: they are sorted in memory
	mostOnPage   = 5_000     // most names on a page
	pageLength   = 500       // names on a page unless the client asks for another number
	listedBatch  = 1000      // names read at once
	listedCost   = 128 << 10 // bytes for a batch, including sorting and net/http
	longestWords = 200       // bytes of a filter that count
)

// Entry is a file or folder in a listing.
type Entry struct {
	Name     string    `json:"name"`
	Size     int64     `json:"size"` // bytes; 0 for folders
	Modified time.Time `json:"modified"`
	Folder   bool      `json:"folder"`

	// Href is a link to the entry, relative to the URL of its folder. Name is not enough
	// for a link if it has bytes that are not UTF-8: JSON cannot express them.
	Href string `json:"href"`
}

// Label returns the name for display. Characters in it that are invisible, or that display
// others in another order, are replaced by their codes.
func (e Entry) Label() string { return chars.Visible(e.Name) }

// Selection says which entries of a folder a listing has, and in which order. Clients
// choose it with the query of the URL: sort, order (asc or desc), q, page and limit.
type Selection struct {
	Sort   string // "name", "size" or "time"
	Desc   bool   // the largest or newest first; folders come before files anyway
	Filter string // words that a name must contain, without regard to case
	Page   int    // counts from 1
	Limit  int    // entries on a page

	usual int // Limit if the client does not choose one
}

// Link returns a link to the listing from the page of the folder.
func (s Selection) Link() string {
	q := url.Values{}
	if s.Sort != "name" {
		q.Set("sort", s.Sort)
	}
	if s.Desc {
		q.Set("order", "desc")
	}
	if s.Filter != "" {
		q.Set("q", s.Filter)
	}
	if s.Page > 1 {
		q.Set("page", strconv.Itoa(s.Page))
	}
	if s.Limit != s.usual {
		q.Set("limit", strconv.Itoa(s.Limit))
	}
	if len(q) == 0 {
		return "./"
	}
	return "./?" + q.Encode()
}

// By returns the selection with another order, as the head of a column of that name links
// to it: the other direction if the listing has that order already, and otherwise names
// from the beginning, sizes and times from the end.
func (s Selection) By(column string) Selection {
	s.Desc = column != "name"
	if column == s.Sort {
		s.Desc = !s.Desc
	}
	s.Sort, s.Page = column, 1
	return s
}

// At returns the selection of another page.
func (s Selection) At(page int) Selection {
	s.Page = page
	return s
}

// selectionOf returns the selection of a request. limit is the usual length of a page.
func selectionOf(q url.Values, limit int) (Selection, error) {
	s := Selection{Sort: cmp.Or(q.Get("sort"), "name"), Filter: strings.TrimSpace(q.Get("q")), Page: 1, Limit: limit, usual: limit}
	if s.Sort != "name" && s.Sort != "size" && s.Sort != "time" {
		return s, errors.New("sort must be name, size or time")
	}
	switch q.Get("order") {
	case "", "asc":
	case "desc":
		s.Desc = true
	default:
		return s, errors.New("order must be asc or desc")
	}
	for name, n := range map[string]*int{"page": &s.Page, "limit": &s.Limit} {
		if text := q.Get(name); text != "" {
			v, err := strconv.Atoi(text)
			if err != nil || v < 1 {
				return s, errors.New(name + " must be a positive number")
			}
			*n = v
		}
	}
	s.Limit = min(s.Limit, max(mostOnPage, limit))
	s.Page = min(s.Page, mostListed)
	if len(s.Filter) > longestWords {
		s.Filter = strings.ToValidUTF8(s.Filter[:longestWords], "")
	}
	return s, nil
}

// compare orders entries: folders first, then by the column, then by name.
func (s Selection) compare(a, b *Entry) int {
	if a.Folder != b.Folder {
		if a.Folder {
			return -1
		}
		return 1
	}
	c := 0
	switch s.Sort {
	case "size":
		c = cmp.Compare(a.Size, b.Size)
	case "time":
		c = a.Modified.Compare(b.Modified)
	default:
		c = natural.Compare(a.Name, b.Name)
	}
	if s.Desc {
		c = -c
	}
	if c == 0 {
		c = natural.Compare(a.Name, b.Name)
	}
	return c
}

// Listing describes a folder for its page.
type Listing struct {
	Path    string  `json:"path"`          // from the root, with a slash at both ends
	Entries []Entry `json:"entries"`       // of the page
	Total   int     `json:"total"`         // names that match the filter, on all pages
	Cut     bool    `json:"cut,omitempty"` // the folder has more names than the listing can reach
	// LeftOut is how many names the listing does not have because clients cannot get
	// them: names with control characters, links that lead to no served file, pipes and
	// devices. Names that are hidden on purpose do not count.
	LeftOut int `json:"leftOut,omitempty"`

	Archive bool    `json:"-"` // the folder can be downloaded as an archive
	Readme  *Readme `json:"-"` // on the first page; nil: none
	Err     error   `json:"-"` // the listing is not complete; only after Top of FileServer was called

	Selection Selection `json:"-"`
}

// Readme is a file that explains a folder.
type Readme struct {
	Name string
	Text string // for display as it is; characters are replaced as in the Label of an Entry
	Cut  bool   // the file is longer
}

// Pages returns the number of pages.
func (l Listing) Pages() int {
	return max(1, (min(l.Total, mostListed)+l.Selection.Limit-1)/l.Selection.Limit)
}

// First returns the number of the first entry of the page, counted from 1.
func (l Listing) First() int { return (l.Selection.Page-1)*l.Selection.Limit + 1 }

// Last returns the number of the last entry of the page.
func (l Listing) Last() int { return l.First() + len(l.Entries) - 1 }

// Around returns the pages to link to: the first, the last, and those around the page. A 0
// stands for others between two.
func (l Listing) Around() (pages []int) {
	last, at := l.Pages(), l.Selection.Page
	for n := 1; n <= last; n++ {
		switch {
		case n == 1 || n == last || n >= at-2 && n <= at+2:
			pages = append(pages, n)
		case n == at-3 || n == at+3:
			pages = append(pages, 0)
		}
	}
	return pages
}

// lister reads a folder. However many names the folder has, it keeps only those of the
// page and of the pages before it.
type lister struct {
	v       view
	r       *http.Request
	dir     io.Closer
	entries interface { // of dir
		Read(n int) ([]fs.DirEntry, error)
	}
	store FileStore // of the folder; nil: it is on a disk
	name  string
	words []string // of the filter, in lower case
	early bool     // describe each file at once: the order or the length needs it
	keep  int      // entries that can be of the page, or before it
	held  reserved // memory
	paid  int      // batches that held covers
	done  bool     // all names were read

	list   []listed
	bound  *Entry // an entry after this one is not of the page; nil: not known yet
	readme string // name of the README so far
	rank   int    // of readme; 0: none

	Listing
}

// listed is an entry in a lister.
type listed struct {
	Entry
	d fs.DirEntry // to be described; nil: it is
}

// openLister opens a folder, and reads the first batch of its names, but none for HEAD. The
// caller must call close.
func openLister(v view, r *http.Request, name string, s Selection) (*lister, error) {
	dir, err := v.openAny(name)
	if err != nil {
		return nil, err
	}
	return begun(&lister{v: v, r: r, dir: dir, entries: dirents.New(dir), name: name}, s)
}

// openStoredLister is openLister for a folder in a store.
func openStoredLister(v view, store FileStore, r *http.Request, name string, s Selection) (*lister, error) {
	entries := readStored(r.Context(), store, name)
	return begun(&lister{v: v, r: r, dir: entries, entries: entries, store: store, name: name}, s)
}

// begun reads the first batch of names. After an error the folder is closed.
func begun(l *lister, s Selection) (*lister, error) {
	r, name := l.r, l.name
	l.words = strings.Fields(strings.ToLower(s.Filter))
	l.Selection, l.Path = s, "/"
	if name != "." {
		l.Path += strings.ReplaceAll(name, `\`, "/") + "/"
	}
	l.Entries = []Entry{} // an empty folder is an empty list in JSON
	l.early = s.Sort != "name" || s.Limit > mostOnPage
	l.keep = min(s.Page*s.Limit, mostListed)
	l.done = r.Method == http.MethodHead
	if err := l.step(); err != nil {
		l.close()
		return nil, err
	}
	return l, nil
}

func (l *lister) close() {
	l.held.release()
	l.dir.Close()
}

// finish reads the other names and sets the fields of the Listing.
func (l *lister) finish() error {
	for !l.done {
		if l.r.Context().Err() != nil {
			return l.r.Context().Err()
		}
		if err := l.step(); err != nil {
			return err
		}
	}
	l.trim()
	s := &l.Selection
	s.Page = min(s.Page, l.Pages())
	l.Cut = l.Total > mostListed
	from := min((s.Page-1)*s.Limit, len(l.list))
	for _, c := range l.list[from:min(from+s.Limit, len(l.list))] {
		if c.d != nil {
			info, _ := l.v.show(l.name, c.d)
			if info == nil {
				continue // it is gone
			}
			c.Entry = entryOf(c.Name, info)
		}
		l.Entries = append(l.Entries, c.Entry)
	}
	return nil
}

// step reads a batch of names.
func (l *lister) step() error {
	if l.done {
		return nil
	}
	batch, err := l.entries.Read(listedBatch)
	for _, d := range batch {
		if e, ok := l.take(d); ok {
			if aerr := l.add(e); aerr != nil {
				return aerr
			}
		}
	}
	if err == io.EOF || err == nil && len(batch) < listedBatch {
		l.done, err = true, nil
	}
	return err
}

// take makes the entry from d alone, if that is possible without a stat of the file.
func (l *lister) take(d fs.DirEntry) (e listed, ok bool) {
	name := d.Name()
	if names.Withheld(name, l.v.hidden) {
		return listed{}, false
	}
	if rank := readmeRank(name); rank > l.rank && d.Type().IsRegular() {
		l.readme, l.rank = name, rank
	}
	if !l.matches(name) {
		return listed{}, false
	}
	if !l.early && names.Printable(name) && (d.IsDir() || d.Type().IsRegular()) {
		return listed{Entry{Name: name, Folder: d.IsDir()}, d}, true
	}
	info, leftOut := l.v.show(l.name, d)
	if leftOut {
		l.LeftOut++
	}
	if info == nil {
		return listed{}, false
	}
	return listed{entryOf(name, info), nil}, true
}

func (l *lister) matches(name string) bool {
	if len(l.words) == 0 {
		return true
	}
	name = strings.ToLower(name)
	for _, w := range l.words {
		if !strings.Contains(name, w) {
			return false
		}
	}
	return true
}

// add adds an entry unless it is after the page.
func (l *lister) add(e listed) error {
	l.Total++
	if l.bound != nil && l.Selection.compare(&e.Entry, l.bound) > 0 {
		return nil
	}
	if len(l.list) >= l.keep+listedBatch {
		l.trim()
		l.bound = &Entry{}
		*l.bound = l.list[l.keep-1].Entry
	}
	if need := len(l.list) / listedBatch; need > l.paid {
		if err := l.held.reserve(l.r.Context(), guardOf(l.r), int64(need-l.paid)*listedCost); err != nil {
			return err
		}
		l.paid = need
	}
	l.list = append(l.list, e)
	return nil
}

// trim sorts the entries, and drops those after the page.
func (l *lister) trim() {
	slices.SortFunc(l.list, func(a, b listed) int { return l.Selection.compare(&a.Entry, &b.Entry) })
	if len(l.list) > l.keep {
		clear(l.list[l.keep:])
		l.list = l.list[:l.keep]
	}
}

// explain sets Readme.
func (l *lister) explain() {
	if l.rank == 0 || l.Selection.Page > 1 || l.Selection.Filter != "" {
		return
	}
	text, size := l.readText(path.Join(l.name, l.readme))
	if len(text) == 0 {
		return // the listing is complete without it
	}
	lines := strings.Split(string(text), "\n")
	for i, line := range lines {
		line = strings.ReplaceAll(strings.TrimSuffix(line, "\r"), "\t", "    ")
		lines[i] = chars.Visible(line)
	}
	l.Readme = &Readme{Name: chars.Visible(l.readme), Text: strings.Trim(strings.Join(lines, "\n"), "\n"), Cut: size > int64(len(text))}
}

// readText returns the beginning of a file, nothing if that fails, and the size of the file.
func (l *lister) readText(name string) (text []byte, size int64) {
	if l.store != nil {
		return storedReadme(l.r.Context(), l.store, name, longestReadme, l.v.log)
	}
	f, err := l.v.openFile(name, false)
	if err != nil {
		return nil, 0
	}
	defer f.Release()
	text = make([]byte, min(f.Size, longestReadme))
	n, err := f.ReadAt(text, 0)
	if err != nil && err != io.EOF {
		return nil, 0
	}
	return text[:n], f.Size
}

// longestReadme is how much of a README is shown, in bytes.
const longestReadme = 64 << 10

// readmeRank returns how well a name suits a README, 0 if not at all.
func readmeRank(name string) int {
	if len(name) < len("readme") || !strings.EqualFold(name[:len("readme")], "readme") {
		return 0
	}
	switch strings.ToLower(name[len("readme"):]) {
	case ".md", ".markdown":
		return 3
	case ".txt":
		return 2
	case "":
		return 1
	}
	return 0
}

// writeJSON writes the listing entry by entry.
func (l *lister) writeJSON(out io.Writer) error {
	head, err := json.Marshal(l.Path)
	if err != nil {
		return err
	}
	_, err = io.WriteString(out, `{"path":`+string(head)+`,"entries":[`)
	for i := range l.Entries {
		if err != nil {
			return err
		}
		var e []byte
		if e, err = json.Marshal(&l.Entries[i]); err != nil {
			return err
		}
		if i > 0 {
			e = append([]byte{','}, e...)
		}
		_, err = out.Write(e)
	}
	if err != nil {
		return err
	}
	end := `],"total":` + strconv.Itoa(l.Total)
	if l.Cut {
		end += `,"cut":true`
	}
	if l.LeftOut > 0 {
		end += `,"leftOut":` + strconv.Itoa(l.LeftOut)
	}
	_, err = io.WriteString(out, end+"}\n")
	return err
}

// entryOf describes an entry of a folder.
func entryOf(name string, info fs.FileInfo) Entry {
	e := Entry{Name: name, Modified: info.ModTime().UTC().Truncate(time.Second), Folder: info.IsDir()}
	if !e.Folder {
		e.Size = info.Size()
	}
	e.Href = "./" + names.Escape(name)
	if e.Folder {
		e.Href += "/"
	}
	return e
}

var listPage = template.Must(template.New("list").Funcs(template.FuncMap{
	"bytes":   weir.FormatBytes,
	"exact":   func(n int64) string { return strconv.FormatInt(n, 10) },
	"visible": chars.Visible,
}).Parse(`<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<title>{{visible .Path}}</title>
<style>
body { font: 15px/1.5 system-ui, sans-serif; margin: 2em auto; max-width: 60em; padding: 0 1em }
h1 { font-size: 1.4em; overflow-wrap: anywhere }
table { border-collapse: collapse; width: 100% }
td, th { text-align: left; padding: .15em .5em; overflow-wrap: anywhere }
td.n, th.n { text-align: right; font-variant-numeric: tabular-nums; white-space: nowrap }
tr:hover { background: #8881 }
pre { white-space: pre-wrap; overflow-wrap: anywhere; border-top: 1px solid #8884; padding-top: 1em }
@media (max-width: 34em) { .when { display: none } }
</style>
</head>
<body>
<h1><bdi>{{visible .Path}}</bdi></h1>
<form><input type="search" name="q" value="{{.Selection.Filter}}" aria-label="Filter"> <button>Filter</button></form>
{{if .Archive}}<p><a href="?archive=tar">tar</a> <a href="?archive=tar.gz">tar.gz</a> <a href="?archive=tar.zst">tar.zst</a> <a href="?archive=zip">zip</a></p>
{{end}}<table>
<tr><th><a href="{{(.Selection.By "name").Link}}">Name</a></th><th class="n"><a href="{{(.Selection.By "size").Link}}">Size</a></th><th class="n when"><a href="{{(.Selection.By "time").Link}}">Modified (UTC)</a></th></tr>
{{if ne .Path "/"}}<tr><td><a href="../">../</a></td><td></td><td class="when"></td></tr>
{{end}}{{range .Entries}}<tr><td><a href="{{.Href}}"><bdi>{{.Label}}</bdi>{{if .Folder}}/{{end}}</a></td><td class="n"{{if not .Folder}} title="{{exact .Size}}"{{end}}>{{if not .Folder}}{{bytes .Size}}{{end}}</td><td class="n when">{{.Modified.Format "2006-01-02 15:04:05"}}</td></tr>
{{end}}</table>
{{if gt .Pages 1}}<p>{{$s := .Selection}}{{range .Around}}{{if not .}}… {{else if eq . $s.Page}}<b>{{.}}</b> {{else}}<a href="{{($s.At .).Link}}">{{.}}</a> {{end}}{{end}}of {{.Total}} names</p>
{{end}}{{if .Cut}}<p>This folder has more names than can be listed here. Use the filter.</p>
{{end}}{{if .LeftOut}}<p>Not listed because the server cannot send them: {{.LeftOut}}</p>
{{end}}{{with .Readme}}<h2>{{.Name}}</h2>
<pre>{{.Text}}</pre>
{{if .Cut}}<p>The file is longer.</p>
{{end}}{{end}}</body>
</html>
`))
