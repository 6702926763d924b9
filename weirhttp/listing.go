package weirhttp

import (
	"cmp"
	"html/template"
	"io"
	"io/fs"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/weir-go/weir"
	"github.com/weir-go/weir/weirhttp/internal/names"
)

const (
	mostListed  = 100_000   // most names in a listing: it is sorted in memory
	listedBatch = 1000      // names read at once
	listedCost  = 128 << 10 // bytes for a batch, including sorting and net/http
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

// Listing describes a folder for its page.
type Listing struct {
	Path    string  `json:"path"`          // from the root, with a slash at both ends
	Entries []Entry `json:"entries"`       // folders first, by name
	Cut     bool    `json:"cut,omitempty"` // the folder has more names than the listing

	// LeftOut is how many names the listing does not have because clients cannot get
	// them: names with control characters, links that lead to no served file, pipes and
	// devices. Names that are hidden on purpose do not count.
	LeftOut int `json:"leftOut,omitempty"`

	Archive bool `json:"-"` // the folder can be downloaded as an archive
}

// listFolder lists a folder: folders first, then by name. For HEAD the listing has no
// entries. It takes the memory of all batches but the first from the guard's budget; the
// caller must release held.
func listFolder(v view, r *http.Request, name string) (list Listing, held reserved, err error) {
	dir, err := v.openAny(name)
	if err != nil {
		return list, nil, err
	}
	defer dir.Close()
	list.Path = "/"
	if name != "." {
		list.Path += strings.ReplaceAll(name, `\`, "/") + "/"
	}
	list.Entries = []Entry{} // an empty folder is an empty list in JSON
	for r.Method != http.MethodHead {
		batch, err := dir.ReadDir(listedBatch)
		for _, d := range batch {
			switch info, leftOut := v.show(name, d); {
			case info != nil:
				list.Entries = append(list.Entries, entryOf(d.Name(), info))
			case leftOut:
				list.LeftOut++
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
			err = held.reserve(r.Context(), guardOf(r), listedCost)
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

// entryOf describes an entry of a folder.
func entryOf(name string, info fs.FileInfo) Entry {
	e := Entry{Name: name, Modified: info.ModTime().UTC().Truncate(time.Second), Folder: info.IsDir()}
	if !e.Folder {
		e.Size = info.Size()
	}
	e.Href = e.href()
	return e
}

// href is a link to the entry from the page of its folder.
func (e Entry) href() string {
	u := "./" + names.Escape(e.Name)
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
{{if .Archive}}<p><a href="?archive=tar">tar</a> <a href="?archive=tar.gz">tar.gz</a> <a href="?archive=tar.zst">tar.zst</a> <a href="?archive=zip">zip</a></p>
{{end}}<table>
<tr><th>Name</th><th class="n">Size</th><th class="n">Modified (UTC)</th></tr>
{{if ne .Path "/"}}<tr><td><a href="../">../</a></td><td></td><td></td></tr>
{{end}}{{range .Entries}}<tr><td><a href="{{href .}}">{{.Name}}{{if .Folder}}/{{end}}</a></td><td class="n"{{if not .Folder}} title="{{exact .Size}}"{{end}}>{{if not .Folder}}{{bytes .Size}}{{end}}</td><td class="n">{{.Modified.Format "2006-01-02 15:04:05"}}</td></tr>
{{end}}</table>
{{if .Cut}}<p>This folder has more names than are listed here.</p>
{{end}}{{if .LeftOut}}<p>Not listed because the server cannot send them: {{.LeftOut}}</p>
{{end}}</body>
</html>
`))
