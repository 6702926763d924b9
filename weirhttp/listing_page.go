package weirhttp

import (
	"io"

	"github.com/weir-go/weir"
	"github.com/weir-go/weir/internal/chars"
	"github.com/weir-go/weir/internal/markup"
)

// writePage writes the page of a listing. The page needs no other files.
func writePage(out io.Writer, l Listing) error {
	w := markup.NewWriter(out)
	at := chars.Visible(l.Path)
	w.HTML(`<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<title>`).Text(at).HTML(`</title>
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
<h1><bdi>`).Text(at).HTML(`</bdi></h1>
<form><input type="search" name="q" value="`).Text(l.Selection.Filter).HTML(`" aria-label="Filter"> <button>Filter</button></form>
`)
	if l.Archive {
		w.HTML(`<p><a href="?archive=tar">tar</a> <a href="?archive=tar.gz">tar.gz</a> <a href="?archive=tar.zst">tar.zst</a> <a href="?archive=zip">zip</a></p>
`)
	}
	writeTable(w, l)
	if l.Pages() > 1 {
		writePages(w, l)
	}
	if l.Cut {
		w.HTML(`<p>This folder has more names than can be listed here. Use the filter.</p>
`)
	}
	if l.LeftOut > 0 {
		w.HTML(`<p>Not listed because the server cannot send them: `).Int(int64(l.LeftOut)).HTML(`</p>
`)
	}
	if l.Readme != nil {
		writeReadme(w, l.Readme)
	}
	return w.HTML(`</body>
</html>
`).Flush()
}

// writeTable writes the entries.
func writeTable(w *markup.Writer, l Listing) {
	by := func(column string) string { return l.Selection.By(column).Link() }
	w.HTML(`<table>
<tr><th><a href="`).Link(by("name")).HTML(`">Name</a></th>`)
	w.HTML(`<th class="n"><a href="`).Link(by("size")).HTML(`">Size</a></th>`)
	w.HTML(`<th class="n when"><a href="`).Link(by("time")).HTML(`">Modified (UTC)</a></th></tr>
`)
	if l.Path != "/" {
		w.HTML(`<tr><td><a href="../">../</a></td><td></td><td class="when"></td></tr>
`)
	}
	for _, e := range l.Entries {
		if w.Err() != nil {
			return
		}
		writeEntry(w, e)
	}
	w.HTML(`</table>
`)
}

func writeEntry(w *markup.Writer, e Entry) {
	w.HTML(`<tr><td><a href="`).Link(e.Href).HTML(`"><bdi>`).Text(e.Label()).HTML(`</bdi>`)
	if e.Folder {
		w.HTML(`/</a></td><td class="n"></td>`)
	} else {
		w.HTML(`</a></td><td class="n" title="`).Int(e.Size).HTML(`">`).Text(weir.FormatBytes(e.Size)).HTML(`</td>`)
	}
	w.HTML(`<td class="n when">`).Text(e.Modified.Format("2006-01-02 15:04:05")).HTML(`</td></tr>
`)
}

// writePages writes the links to other pages.
func writePages(w *markup.Writer, l Listing) {
	w.HTML(`<p>`)
	for _, n := range l.Around() {
		switch n {
		case 0:
			w.HTML(`… `)
		case l.Selection.Page:
			w.HTML(`<b>`).Int(int64(n)).HTML(`</b> `)
		default:
			w.HTML(`<a href="`).Link(l.Selection.At(n).Link()).HTML(`">`).Int(int64(n)).HTML(`</a> `)
		}
	}
	w.HTML(`of `).Int(int64(l.Total)).HTML(` names</p>
`)
}

func writeReadme(w *markup.Writer, r *Readme) {
	w.HTML(`<h2>`).Text(r.Name).HTML(`</h2>
<pre>`).Text(r.Text).HTML(`</pre>
`)
	if r.Cut {
		w.HTML(`<p>The file is longer.</p>
`)
	}
}
