package weirhttp

import (
	"bytes"
	"compress/gzip"
	"encoding/binary"
	"fmt"
	"github.com/weir-go/weir/weirhttp/internal/gzipfile"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/weir-go/weir"
	"github.com/weir-go/weir/compress"
)

// member returns text as a gzip file of one member.
func member(t *testing.T, text string) string {
	t.Helper()
	var b bytes.Buffer
	w := gzip.NewWriter(&b)
	if _, err := io.WriteString(w, text); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return b.String()
}

// packed returns text as weir gzip compresses it.
func packed(t *testing.T, text string, opts ...compress.Option) string {
	t.Helper()
	var b bytes.Buffer
	err := weir.FromReader(strings.NewReader(text)).Through(compress.Gzip(opts...)).To(weir.ToWriter(&b)).Run(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return b.String()
}

// sizedMembers returns text as weir gzip compresses it for random access.
func sizedMembers(t *testing.T, text string) string {
	t.Helper()
	return packed(t, text, compress.Members())
}

// firstMember is what browsers and curl make of a gzip file.
func firstMember(t *testing.T, gz string) string {
	t.Helper()
	r, err := gzip.NewReader(strings.NewReader(gz))
	if err != nil {
		t.Fatal(err)
	}
	r.Multistream(false)
	b, err := io.ReadAll(r)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

func TestPrecompressed_IsSentToThoseWhoAcceptIt(t *testing.T) {
	zipped := member(t, "plain")
	root := tree(t, map[string]string{"a.js": "plain", "a.js.gz": zipped, "a.js.zst": "zstandard", "old.js": "new!", "old.js.gz": member(t, "old!")})
	newer := time.Now()
	if err := os.Chtimes(filepath.Join(root.Name(), "old.js"), newer, newer); err != nil {
		t.Fatal(err)
	}
	fs := quiet(root)
	fs.Precompressed = true
	s := guarded(t, &Guard{}, fs)
	for _, c := range []struct{ path, accept, body, coding string }{
		{"/a.js", "", "plain", ""},
		{"/a.js", "gzip", zipped, "gzip"},
		{"/a.js", "gzip, zstd", "zstandard", "zstd"},
		{"/a.js", "zstd;q=0, gzip;q=0.1", zipped, "gzip"},
		{"/a.js", "br", "plain", ""},
		{"/old.js", "gzip", "new!", ""},
	} {
		resp, got := s.fetch(t, browser(t), "GET", c.path, "Accept-Encoding", c.accept)
		if got != c.body || resp.Header.Get("Content-Encoding") != c.coding || resp.Header.Get("Vary") != "Accept-Encoding" ||
			resp.ContentLength != int64(len(c.body)) || !strings.Contains(resp.Header.Get("Content-Type"), "javascript") {
			t.Errorf("%s, Accept-Encoding %q: %q, %v", c.path, c.accept, got, resp.Header)
		}
	}
	resp, got := s.fetch(t, browser(t), "GET", "/a.js", "Accept-Encoding", "gzip", "Range", "bytes=2-4")
	if resp.StatusCode != 206 || got != zipped[2:5] || resp.Header.Get("Content-Encoding") != "gzip" {
		t.Errorf("range of what is encoded: %s %q", resp.Status, got)
	}
	if resp, _ := s.fetch(t, browser(t), "GET", "/b.js", "Accept-Encoding", "gzip"); resp.StatusCode != 404 {
		t.Errorf("a sibling of nothing: %s", resp.Status)
	}
}

// Whatever lies beside a file, a client that reads one member has all of it.
func TestPrecompressed_GzipIsSentOnlyIfItsFirstMemberIsTheWholeFile(t *testing.T) {
	long := pattern(3<<20 + 17) // members and blocks of weir gzip hold 1 MiB
	even := pattern(2 << 20)
	short := pattern(30_000)
	half := len(short) / 2
	cases := []struct {
		name, plain, gz string
		sent            bool
	}{
		{"one", short, member(t, short), true},
		{"one-long", long, member(t, long), true},
		{"weir-gzip", short, packed(t, short), true},
		{"weir-gzip-long", long, packed(t, long), true},
		{"weir-gzip-even", even, packed(t, even), true},
		{"one-sized", short, sizedMembers(t, short), true},
		{"one-with-name", short, named(t, short), true},
		{"empty", "", member(t, ""), true},
		{"members", long, sizedMembers(t, long), false},
		{"members-even", even, sizedMembers(t, even), false},
		{"cat", short, member(t, short[:half]) + member(t, short[half:]), false},
		{"bgzf-end", short, member(t, short) + member(t, ""), false},
		{"cut", short, member(t, short)[:1000], false},
		{"cut-by-one", short, strings.TrimSuffix(member(t, short), "\x00"), false},
		{"of-another", short, member(t, short+"!"), false},
		{"nothing", short, "", false},
		{"nothing-of-nothing", "", "", false},
		{"zeros", "", string(make([]byte, 100)), false},
		{"too-short", "", member(t, "")[:10] + "\x00\x00\x00\x00", false},
		{"no-gzip", short, strings.Repeat("x", 100) + sizeOf(short), false},
	}
	files := map[string]string{}
	for _, c := range cases {
		files[c.name], files[c.name+".gz"] = c.plain, c.gz
	}
	fs := quiet(tree(t, files))
	fs.Precompressed = true
	s := guarded(t, &Guard{}, fs)
	for _, c := range cases {
		for _, method := range []string{"GET", "HEAD"} {
			t.Run(method+" "+c.name, func(t *testing.T) {
				body, coding := c.plain, ""
				if c.sent {
					body, coding = c.gz, "gzip"
				}
				resp, got := s.fetch(t, browser(t), method, "/"+c.name, "Accept-Encoding", "gzip")
				h := resp.Header
				if resp.StatusCode != 200 || h.Get("Content-Encoding") != coding || h.Get("Vary") != "Accept-Encoding" || resp.ContentLength != int64(len(body)) {
					t.Fatalf("%s, %d bytes, %v", resp.Status, resp.ContentLength, h)
				}
				if method == "GET" && got != body {
					t.Fatalf("%d bytes that are others", len(got))
				}
				if method == "GET" && c.sent && firstMember(t, got) != c.plain {
					t.Error("a browser does not see the whole file")
				}
				// The tag is that of what was sent, also where a condition is asked of it.
				other, _ := s.fetch(t, browser(t), method, "/"+c.name+tagSuffix(c.sent))
				if tag := h.Get("ETag"); tag == "" || tag != other.Header.Get("ETag") {
					t.Errorf("its tag is %s, that of the file sent %s", tag, other.Header.Get("ETag"))
				}
				again, _ := s.fetch(t, browser(t), method, "/"+c.name, "Accept-Encoding", "gzip", "If-None-Match", h.Get("ETag"))
				if again.StatusCode != 304 || again.Header.Get("Vary") != "Accept-Encoding" || again.Header.Get("ETag") != h.Get("ETag") {
					t.Errorf("asked again: %s, %v", again.Status, again.Header)
				}
			})
		}
		if len(c.plain) > 4 {
			resp, got := s.fetch(t, browser(t), "GET", "/"+c.name, "Accept-Encoding", "gzip", "Range", "bytes=1-3")
			want := c.plain
			if c.sent {
				want = c.gz
			}
			if resp.StatusCode != 206 || got != want[1:4] || resp.Header.Get("Content-Range") != fmt.Sprintf("bytes 1-3/%d", len(want)) {
				t.Errorf("%s: a range is %q, %v", c.name, got, resp.Header)
			}
		}
	}
}

// named returns text as gzip(1) compresses a file: its name is in the header.
func named(t *testing.T, text string) string {
	t.Helper()
	var b bytes.Buffer
	w := gzip.NewWriter(&b)
	w.Name, w.Extra = "name.txt", []byte("XY\x03\x00abc")
	if _, err := io.WriteString(w, text); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return b.String()
}

func sizeOf(text string) string {
	return string(binary.LittleEndian.AppendUint32(nil, uint32(len(text))))
}

// tagSuffix is what is asked for plainly to see the tag of what was sent.
func tagSuffix(sibling bool) string {
	if sibling {
		return ".gz"
	}
	return ""
}

// Beyond 4 GiB the last member may have the size of the whole, modulo 2³².
func TestOneMember_IsNotMistakenBeyond4GiB(t *testing.T) {
	const beyond = 1 << 32
	rest := pattern(100)
	for _, c := range []struct {
		name, gz string
		plain    int64
		want     bool
	}{
		{"the size is that of the rest", member(t, rest), beyond + 100, true},
		{"exactly 4 GiB", member(t, ""), beyond, true},
		{"one more", member(t, rest), beyond + 101, false},
		{"members that record their sizes", sizedMembers(t, rest) + sizedMembers(t, rest), beyond + 100, false},
		{"bgzip", bgzf(t, rest) + bgzf(t, rest), beyond + 100, false},
		{"one of bgzip", bgzf(t, rest), 100, true},
		{"an extra field that is cut", member(t, "")[:3] + "\x04" + member(t, "")[4:10] + "\xff\xff" + "WR\x08" + "\x00\x00\x00\x00", 0, true},
	} {
		if got := gzipfile.OneMember(strings.NewReader(c.gz), int64(len(c.gz)), c.plain); got != c.want {
			t.Errorf("%s: %v", c.name, got)
		}
	}
	// A file that became shorter since its size was taken.
	gz := member(t, rest)
	if gzipfile.OneMember(strings.NewReader(gz[:len(gz)-1]), int64(len(gz)), 100) {
		t.Error("a file that was truncated meanwhile is taken")
	}
}

// bgzf returns text as a block of bgzip(1).
func bgzf(t *testing.T, text string) string {
	t.Helper()
	var b bytes.Buffer
	w := gzip.NewWriter(&b)
	w.Extra = []byte("BC\x02\x00\x00\x00")
	if _, err := io.WriteString(w, text); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	binary.LittleEndian.PutUint16(b.Bytes()[16:], uint16(b.Len()-1))
	return b.String()
}
