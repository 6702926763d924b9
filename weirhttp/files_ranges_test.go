package weirhttp

import (
	"fmt"
	"io"
	"mime"
	"mime/multipart"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// long is when the files of these tests were modified: long ago, so that their dates
// count.
var long = time.Date(2020, 2, 3, 4, 5, 6, 700e6, time.UTC)

// settled makes the files below root as old as that.
func settled(t *testing.T, root *os.Root) {
	t.Helper()
	err := filepath.WalkDir(root.Name(), func(path string, _ os.DirEntry, err error) error {
		if err != nil {
			return err
		}
		return os.Chtimes(path, long, long)
	})
	if err != nil {
		t.Fatal(err)
	}
}

// received is what a client makes of an answer: the bytes, with their ranges if it is a
// part or several.
func received(t *testing.T, resp *http.Response, body string) string {
	t.Helper()
	kind, params, err := mime.ParseMediaType(resp.Header.Get("Content-Type"))
	if err != nil || kind != "multipart/byteranges" {
		if cr := resp.Header.Get("Content-Range"); cr != "" {
			return strings.TrimPrefix(cr, "bytes ") + ":" + body
		}
		return body
	}
	if resp.Header.Get("Content-Range") != "" {
		t.Error("a multipart message has a Content-Range of its own")
	}
	var all []string
	for mr := multipart.NewReader(strings.NewReader(body), params["boundary"]); ; {
		p, err := mr.NextPart()
		if err == io.EOF {
			return strings.Join(all, " ")
		}
		if err != nil {
			t.Fatal(err)
		}
		b, err := io.ReadAll(p)
		if err != nil || p.Header.Get("Content-Type") == "" {
			t.Errorf("a part: %v, type %q", err, p.Header.Get("Content-Type"))
		}
		all = append(all, strings.TrimPrefix(p.Header.Get("Content-Range"), "bytes ")+":"+string(b))
	}
}

// TestFiles_RangesAndConditionsFollowTheRFC has files, the compressed sibling of one, and
// an empty one, over every kind of connection.
func TestFiles_RangesAndConditionsFollowTheRFC(t *testing.T) {
	const ten = "0123456789"
	zipped := member(t, "plain text of a script")
	root := tree(t, map[string]string{"f": ten, "empty": "", "a.js": "plain text of a script", "a.js.gz": zipped, "big": pattern(300_000)})
	settled(t, root)
	files := quiet(root)
	files.Precompressed = true
	tag := func(name string) string {
		info, err := root.Stat(name)
		if err != nil {
			t.Fatal(err)
		}
		return tagOf(info)
	}
	at, before, after := httpTime(long), httpTime(long.Add(-time.Second)), httpTime(long.Add(time.Second))
	type row struct {
		method, path string
		header       []string // name, value, …
		status       int
		want         string
	}
	f := tag("f")
	rows := []row{
		{"GET", "/f", nil, 200, ten},
		{"GET", "/f", []string{"Range", "bytes=2-4"}, 206, "2-4/10:234"},
		{"GET", "/f", []string{"Range", "bytes=-3"}, 206, "7-9/10:789"},
		{"GET", "/f", []string{"Range", "bytes=7-"}, 206, "7-9/10:789"},
		{"GET", "/f", []string{"Range", "bytes=0-"}, 206, "0-9/10:" + ten},
		{"GET", "/f", []string{"Range", "bytes=5-99999999999999999999999"}, 206, "5-9/10:56789"},
		{"GET", "/f", []string{"Range", "BYTES=2-4"}, 206, "2-4/10:234"},
		{"GET", "/f", []string{"Range", "lines=2-4"}, 200, ten},
		{"GET", "/f", []string{"Range", "bytes=10-"}, 416, "*/10:Requested Range Not Satisfiable\n"},
		{"GET", "/f", []string{"Range", "bytes=-0"}, 416, "*/10:Requested Range Not Satisfiable\n"},
		{"GET", "/f", []string{"Range", "bytes=x"}, 416, "*/10:Requested Range Not Satisfiable\n"},
		{"GET", "/f", []string{"Range", "bytes=0-1,8-"}, 206, "0-1/10:01 8-9/10:89"},
		{"GET", "/f", []string{"Range", "bytes=0-1", "Range", "8-"}, 206, "0-1/10:01 8-9/10:89"},
		{"GET", "/f", []string{"Range", "bytes=8-,0-1"}, 206, "8-9/10:89 0-1/10:01"},
		{"GET", "/f", []string{"Range", "bytes=0-1,20-"}, 206, "0-1/10:01"},
		{"GET", "/f", []string{"Range", "bytes=0-9,0-9"}, 200, ten},
		{"HEAD", "/f", []string{"Range", "bytes=2-4"}, 200, ""},
		{"HEAD", "/f", []string{"Range", "bytes=10-"}, 200, ""},
		{"GET", "/empty", []string{"Range", "bytes=0-"}, 200, ""},
		{"GET", "/empty", []string{"Range", "bytes=-1"}, 200, ""},
		{"GET", "/empty", []string{"If-None-Match", tag("empty")}, 304, ""},
		{"GET", "/big", []string{"Range", "bytes=299999-"}, 206, "299999-299999/300000:" + pattern(300_000)[299_999:]},
		{"GET", "/big", []string{"Range", "bytes=0-99999,200000-"}, 206,
			"0-99999/300000:" + pattern(300_000)[:100_000] + " 200000-299999/300000:" + pattern(300_000)[200_000:]},
		{"GET", "/absent", []string{"Range", "bytes=0-", "If-Match", "*"}, 404, "Not Found\n"},

		{"GET", "/f", []string{"Range", "bytes=2-4", "If-Range", f}, 206, "2-4/10:234"},
		{"GET", "/f", []string{"Range", "bytes=2-4", "If-Range", "W/" + f}, 200, ten},
		{"GET", "/f", []string{"Range", "bytes=2-4", "If-Range", `"other"`}, 200, ten},
		{"GET", "/f", []string{"Range", "bytes=20-", "If-Range", `"other"`}, 200, ten},
		{"GET", "/f", []string{"Range", "bytes=2-4", "If-Range", at}, 206, "2-4/10:234"},
		{"GET", "/f", []string{"Range", "bytes=2-4", "If-Range", after}, 200, ten},
		{"GET", "/f", []string{"Range", "bytes=2-4", "If-Range", before}, 200, ten},
		{"GET", "/f", []string{"If-Range", `"other"`}, 200, ten},

		{"GET", "/f", []string{"If-Match", f}, 200, ten},
		{"GET", "/f", []string{"If-Match", `"other"`, "If-Match", f}, 200, ten},
		{"GET", "/f", []string{"If-Match", "W/" + f}, 412, ""},
		{"HEAD", "/f", []string{"If-Match", `"other"`}, 412, ""},
		{"GET", "/f", []string{"If-Match", `"other"`, "Range", "bytes=20-"}, 412, ""},
		{"GET", "/f", []string{"If-Match", f, "If-Unmodified-Since", before}, 200, ten},
		{"GET", "/f", []string{"If-Unmodified-Since", before}, 412, ""},
		{"GET", "/f", []string{"If-Unmodified-Since", at}, 200, ten},
		{"GET", "/f", []string{"If-None-Match", "W/" + f}, 304, ""},
		{"GET", "/f", []string{"If-None-Match", `"other"`, "If-None-Match", f}, 304, ""},
		{"HEAD", "/f", []string{"If-None-Match", f}, 304, ""},
		{"GET", "/f", []string{"If-None-Match", f, "Range", "bytes=2-4"}, 304, ""},
		{"GET", "/f", []string{"If-None-Match", `"other"`, "If-Modified-Since", at}, 200, ten},
		{"GET", "/f", []string{"If-None-Match", `"other"`, "Range", "bytes=2-4"}, 206, "2-4/10:234"},
		{"GET", "/f", []string{"If-Modified-Since", at}, 304, ""},
		{"GET", "/f", []string{"If-Modified-Since", before}, 200, ten},
		{"GET", "/f", []string{"If-Match", f, "If-None-Match", f}, 304, ""},
		{"GET", "/f", []string{"If-Unmodified-Since", before, "If-None-Match", f}, 412, ""},

		{"GET", "/a.js", []string{"Accept-Encoding", "gzip", "Range", "bytes=0-2"}, 206, fmt.Sprintf("0-2/%d:%s", len(zipped), zipped[:3])},
		{"GET", "/a.js", []string{"Accept-Encoding", "gzip", "Range", "bytes=0-2", "If-Range", tag("a.js.gz")}, 206, fmt.Sprintf("0-2/%d:%s", len(zipped), zipped[:3])},
		{"GET", "/a.js", []string{"Accept-Encoding", "gzip", "Range", "bytes=0-2", "If-Range", tag("a.js")}, 200, zipped},
		{"GET", "/a.js", []string{"Accept-Encoding", "gzip", "If-None-Match", tag("a.js.gz")}, 304, ""},
		{"GET", "/a.js", []string{"Accept-Encoding", "identity", "If-None-Match", tag("a.js.gz")}, 200, "plain text of a script"},
		{"HEAD", "/a.js", []string{"Accept-Encoding", "gzip", "Range", "bytes=0-2"}, 200, ""},
	}
	two := browser(t)
	two.Transport.(*http.Transport).Protocols = h2c()
	for kind, s := range map[string]*site{
		"HTTP/1": guarded(t, &Guard{}, files), "paced": guarded(t, &Guard{Rate: 1 << 30, ConnRate: 1 << 30}, files),
		"TLS": guarded(t, &Guard{}, files, withTLS), "h2c": guarded(t, &Guard{}, files, func(s *http.Server) { s.Protocols = h2c() }),
	} {
		c := browser(t)
		if kind == "h2c" {
			c = two
		}
		for _, r := range rows {
			resp, body := s.fetch(t, c, r.method, r.path, r.header...)
			if got := received(t, resp, body); resp.StatusCode != r.status || got != r.want {
				t.Errorf("%s: %s %s %q: %s, %.60q, want %d, %.60q", kind, r.method, r.path, r.header, resp.Status, got, r.status, r.want)
			}
			h := resp.Header
			if r.status/100 == 2 && (h.Get("ETag") == "" || h.Get("Last-Modified") != at || h.Get("Accept-Ranges") != "bytes" || resp.ContentLength < 0) {
				t.Errorf("%s: %s %s %q: header %v", kind, r.method, r.path, r.header, h)
			}
			if r.status == 304 && (h.Get("ETag") == "" || h.Get("Content-Type") != "" || r.path == "/a.js" && h.Get("Vary") == "") {
				t.Errorf("%s: %s %s %q: header %v", kind, r.method, r.path, r.header, h)
			}
			if r.method == "HEAD" && r.status == 200 && r.path == "/f" && resp.ContentLength != 10 {
				t.Errorf("%s: HEAD with %q: %d bytes", kind, r.header, resp.ContentLength)
			}
			if r.status == 416 && (h.Get("ETag") != "" || h.Get("Content-Encoding") != "") {
				t.Errorf("%s: 416 is described as the file: %v", kind, h)
			}
		}
	}
}

func TestFiles_DateOfTheFutureIsNotSent(t *testing.T) {
	root := tree(t, map[string]string{"f": "x"})
	soon := time.Now().Add(time.Hour)
	if err := os.Chtimes(filepath.Join(root.Name(), "f"), soon, soon); err != nil {
		t.Fatal(err)
	}
	s := guarded(t, new(Guard), quiet(root))
	resp, _ := s.fetch(t, browser(t), "GET", "/f", "Range", "bytes=0-", "If-Modified-Since", httpTime(soon))
	if resp.StatusCode != 206 || resp.Header.Get("Last-Modified") != "" {
		t.Errorf("%s, Last-Modified %s", resp.Status, resp.Header.Get("Last-Modified"))
	}
}
