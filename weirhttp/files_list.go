package weirhttp

import (
	"bufio"
	"cmp"
	"encoding/json"
	"html/template"
	"io"
	"io/fs"
	"net/http"
	"path"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/weir-go/weir"
)

const (
	mostListed  = 100_000   // names of a folder are listed, since they are sorted in memory
	listedBatch = 1000      // names are read at once
	listedCost  = 128 << 10 // bytes that a batch takes, with what net/http and the sorting need
)

// Entry is a file or folder in a listing.
type Entry struct {
	Name     string    `json:"name"`
	Size     int64     `json:"size"` // bytes; 0 for folders
	Modified time.Time `json:"modified"`
	Folder   bool      `json:"folder"`
}

// Listing is what a folder's page shows.
type Listing struct {
	Path    string  `json:"path"`          // from the root, with a slash at both ends
	Entries []Entry `json:"entries"`       // folders first, by name
	Cut     bool    `json:"cut,omitempty"` // there are more names than are listed
	Archive bool    `json:"-"`             // the folder can be had as an archive
}

func (s *FileServer) serveList(w http.ResponseWriter, r *http.Request, name string) {
	asJSON := false
	switch format := r.URL.Query().Get("format"); format {
	case "json":
		asJSON = true
	case "html":
	case "":
		accept := r.Header.Values("Accept")
		asJSON = weight(accept, "application/json") > weight(accept, "text/html")
	default:
		http.Error(w, "format is html or json", http.StatusBadRequest)
		return
	}
	list, held, err := s.list(r, name)
	if err != nil {
		s.fail(w, r, err)
		return
	}
	defer held.release()
	list.Path = "/"
	if name != "." {
		list.Path += strings.ReplaceAll(name, `\`, "/") + "/"
	}
	h := w.Header()
	h.Set("Cache-Control", "no-cache")
	h.Add("Vary", "Accept")
	if !asJSON && s.Page != nil {
		s.Page(w, r, list)
		return
	}
	if asJSON {
		h.Set("Content-Type", "application/json")
	} else {
		h.Set("Content-Type", "text/html; charset=utf-8")
		h.Set("Content-Security-Policy", "default-src 'none'; style-src 'unsafe-inline'")
	}
	h.Set("X-Content-Type-Options", "nosniff")
	if r.Method == http.MethodHead {
		return
	}
	wire := newRolling(w, r, connOf(r).guard())
	defer wire.arm()
	out := bufio.NewWriterSize(wire, rollingPiece) // a template writes word by word
	if asJSON {
		err = json.NewEncoder(out).Encode(list)
	} else {
		err = listPage.Execute(out, list)
	}
	if err == nil {
		err = out.Flush()
	}
	if err != nil { // nobody may take a part of it for all
		panic(http.ErrAbortHandler)
	}
}

// list returns what is in a folder, folders first, by name; nothing of it for
// HEAD. The memory of more than one batch is held from the guard's budget.
func (s *FileServer) list(r *http.Request, name string) (list Listing, held reserved, err error) {
	dir, err := s.openAny(name)
	if err != nil {
		return list, nil, err
	}
	defer dir.Close()
	list.Archive = s.Archive
	list.Entries = []Entry{} // an empty folder is an empty list in JSON
	for r.Method != http.MethodHead {
		batch, err := dir.ReadDir(listedBatch)
		for _, d := range batch {
			if e, ok := s.entry(name, d); ok {
				list.Entries = append(list.Entries, e)
			}
		}
		if err == io.EOF || err == nil && len(batch) < listedBatch {
			break
		}
		if len(list.Entries) >= mostListed {
			list.Entries, list.Cut = list.Entries[:mostListed], true
			break
		}
		if err == nil {
			err = held.reserve(r.Context(), connOf(r).guard(), listedCost)
		}
		if err != nil {
			held.release()
			return list, nil, err
		}
	}
	slices.SortFunc(list.Entries, func(a, b Entry) int {
		if a.Folder != b.Folder {
			if a.Folder {
				return -1
			}
			return 1
		}
		return cmp.Compare(a.Name, b.Name)
	})
	return list, held, nil
}

// entry describes d in the folder dir, if clients can have it.
func (s *FileServer) entry(dir string, d fs.DirEntry) (Entry, bool) {
	if withheld(d.Name(), s.Hidden) || !printable(d.Name()) {
		return Entry{}, false
	}
	info, err := d.Info()
	if err == nil && info.Mode()&fs.ModeSymlink != 0 {
		info, err = s.stat(path.Join(dir, d.Name()))
	}
	if err != nil || !info.IsDir() && !info.Mode().IsRegular() {
		return Entry{}, false
	}
	e := Entry{Name: d.Name(), Modified: info.ModTime().UTC().Truncate(time.Second), Folder: info.IsDir()}
	if !e.Folder {
		e.Size = info.Size()
	}
	return e, true
}

// printable reports whether a name can be asked for; see cleanPath.
func printable(name string) bool {
	return !strings.ContainsFunc(name, func(r rune) bool { return r < 0x20 || r == 0x7f })
}

// href is a link to the entry from the page of its folder.
func (e Entry) href() string {
	u := "./" + escapePath(e.Name)
	if e.Folder {
		u += "/"
	}
	return u
}

var listPage = template.Must(template.New("list").Funcs(template.FuncMap{
	"href":  Entry.href,
	"bytes": weir.FormatBytes,
	"exact": func(n int64) string { return strconv.FormatInt(n, 10) },
}).Parse(`<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width">
<title>{{.Path}}</title>
<style>
body { font: 15px/1.5 system-ui, sans-serif; margin: 2em auto; max-width: 60em; padding: 0 1em }
table { border-collapse: collapse; width: 100% }
td, th { text-align: left; padding: .15em .5em }
td.n, th.n { text-align: right; font-variant-numeric: tabular-nums; white-space: nowrap }
tr:hover { background: #8881 }
</style>
</head>
<body>
<h1>{{.Path}}</h1>
{{if .Archive}}<p><a href="?archive=tar.gz">tar.gz</a> <a href="?archive=tar.zst">tar.zst</a> <a href="?archive=zip">zip</a></p>
{{end}}<table>
<tr><th>Name</th><th class="n">Size</th><th class="n">Modified (UTC)</th></tr>
{{if ne .Path "/"}}<tr><td><a href="../">../</a></td><td></td><td></td></tr>
{{end}}{{range .Entries}}<tr><td><a href="{{href .}}">{{.Name}}{{if .Folder}}/{{end}}</a></td><td class="n"{{if not .Folder}} title="{{exact .Size}}"{{end}}>{{if not .Folder}}{{bytes .Size}}{{end}}</td><td class="n">{{.Modified.Format "2006-01-02 15:04:05"}}</td></tr>
{{end}}</table>
{{if .Cut}}<p>There are more names than are listed here.</p>
{{end}}</body>
</html>
`))
