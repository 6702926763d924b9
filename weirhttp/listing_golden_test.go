package weirhttp

import (
	"bytes"
	"path/filepath"
	"testing"
	"time"

	"github.com/weir-go/weir/internal/golden"
)

func TestListing_PageIsAsInTheGoldenFile(t *testing.T) {
	const hostile = "<script>alert('1')</script>\" onload=x &amp; \x00\x01\x7f\xff\u202e\u2028 50%+1"
	at := time.Date(2026, 2, 3, 4, 5, 6, 0, time.UTC)
	entries := []Entry{
		{Name: "Bilder", Folder: true, Modified: at, Href: "./Bilder/"},
		{Name: hostile, Size: 1 << 20, Modified: at, Href: "./%3Cscript%3E%22%27%00%FF/"},
		{Name: "a'\"<b>&amp;.txt", Size: 1, Modified: at.Add(time.Hour), Href: `./"><b>'()ä %zz%41#x?y=1&z`},
		{Name: "javascript:alert(1)", Modified: at, Href: "javascript:alert(1)"},
		{Name: "a+b", Modified: at, Href: "./a+b"},
	}
	usual := Selection{Sort: "name", Page: 1, Limit: 500, usual: 500}
	for name, l := range map[string]Listing{
		"empty":   {Path: "/", Selection: usual},
		"hostile": {Path: "/" + hostile + "/", Entries: entries, Total: len(entries), Archive: true, Selection: usual},
		"pages": {Path: "/a/", Entries: entries[:2], Total: 21, Cut: true, LeftOut: 4,
			Selection: Selection{Sort: "time", Desc: true, Filter: hostile, Page: 5, Limit: 2, usual: 500},
			Readme:    &Readme{Name: "README<b>.md", Text: "# A \"title\"\n\n\n<script>x()</script>\n&amp; 'done'", Cut: true}},
	} {
		t.Run(name, func(t *testing.T) {
			var page bytes.Buffer
			if err := writePage(&page, l); err != nil {
				t.Fatal(err)
			}
			golden.Compare(t, filepath.Join("testdata", "listing", name+".html"), page.Bytes())
		})
	}
}
