package weirhttp

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

func TestFiles_AreServedOverEveryProtocol(t *testing.T) {
	files := map[string]string{
		"empty": "", "one.txt": "x", "small.html": pattern(4096), "edge": pattern(smallest),
		"middle.bin": pattern(100_000), "big.bin": pattern(3 << 20), "dir/a b%c.txt": "deep",
	}
	root := tree(t, files)
	h := http.StripPrefix("/files/", quiet(root))
	unguarded := httptest.NewServer(h)
	defer unguarded.Close()
	sites := map[string]*site{
		"guarded":  guarded(t, &Guard{}, h),
		"paced":    guarded(t, &Guard{Rate: 400 << 20, ConnRate: 400 << 20}, h),
		"tls":      guarded(t, &Guard{}, h, withTLS),
		"h2c":      guarded(t, &Guard{}, h, func(s *http.Server) { s.Protocols = h2c() }),
		"no guard": {addr: strings.TrimPrefix(unguarded.URL, "http://")},
	}
	for kind, s := range sites {
		c := browser(t)
		if kind == "h2c" {
			c.Transport.(*http.Transport).Protocols = h2c()
		}
		for range 2 { // the second time from memory, or from a connection that was parked
			for name, want := range files {
				resp, got := s.fetch(t, c, "GET", "/files/"+strings.ReplaceAll(strings.ReplaceAll(name, "%", "%25"), " ", "%20"))
				if resp.StatusCode != 200 || got != want {
					t.Errorf("%s: GET %s: %s, %d bytes, want %d", kind, name, resp.Status, len(got), len(want))
				}
				if resp.ContentLength != int64(len(want)) || resp.Header.Get("ETag") == "" || resp.Header.Get("Last-Modified") == "" {
					t.Errorf("%s: GET %s: header %v", kind, name, resp.Header)
				}
				head, none := s.fetch(t, c, "HEAD", "/files/"+strings.ReplaceAll(strings.ReplaceAll(name, "%", "%25"), " ", "%20"))
				if head.ContentLength != int64(len(want)) || none != "" || head.Header.Get("ETag") != resp.Header.Get("ETag") {
					t.Errorf("%s: HEAD %s: header %v", kind, name, head.Header)
				}
			}
		}
		if s.g == nil {
			continue
		}
		eventually(t, func() bool { return s.g.Transfers.Totals().Active == 0 }, kind+": transfers are left")
		if sum := s.g.Transfers.Totals(); sum.Failed != 0 || sum.BytesOut != 2*total(files) {
			t.Errorf("%s: %+v, want %d bytes out", kind, sum, 2*total(files))
		}
	}
}

func total(files map[string]string) (n int64) {
	for _, f := range files {
		n += int64(len(f))
	}
	return n
}

func h2c() *http.Protocols {
	p := new(http.Protocols)
	p.SetHTTP1(false)
	p.SetUnencryptedHTTP2(true)
	return p
}

func TestFiles_PathsThatMayNotBeServedAreRefused(t *testing.T) {
	root := tree(t, map[string]string{"ok.txt": "ok", ".secret": "s", "d/.git/config": "s", "d/x": "x"})
	outside := filepath.Join(t.TempDir(), "outside")
	if err := os.WriteFile(outside, []byte("outside"), 0o600); err != nil {
		t.Fatal(err)
	}
	for name, target := range map[string]string{"out": outside, "up": "../../../../../../etc/passwd", "loop": "loop", "in": "ok.txt"} {
		if err := os.Symlink(target, filepath.Join(root.Name(), name)); err != nil {
			t.Skip(err)
		}
	}
	s := guarded(t, &Guard{}, quiet(root))
	for path, want := range map[string]int{
		"/ok.txt": 200, "/in": 200, "/absent": 404, "/ok.txt/": 301, "/ok.txt/x": 404, "/d": 301, "/d/": 403, "/": 403,
		"/.secret": 404, "/d/.git/config": 404, "/d/.git/": 404, "/out": 404, "/up": 404, "/loop": 404,
		"/../ok.txt": 400, "/d/../ok.txt": 400, "/%2e%2e/ok.txt": 400, "/..%2fok.txt": 400, "/d/%2e%2e%2f%2e%2e%2fetc/passwd": 400,
		"/..%5c..%5cetc": 404, "/%252e%252e/x": 404, "/....//ok.txt": 404, "/a%00b": 400, "/a%0ab": 400, "/%7f": 400,
		"//ok.txt": 200, "/./ok.txt": 200, "/" + strings.Repeat("n", 256): 404, "/" + strings.Repeat("n", 4096): 414,
		"/" + strings.Repeat("a/", 2000): 404,
	} {
		c := s.dial(t, 0)
		fmt.Fprintf(c, "GET %s HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n", path)
		b, err := io.ReadAll(c)
		if err != nil {
			t.Fatal(err)
		}
		if got := string(b[:min(len(b), 12)]); got != fmt.Sprintf("HTTP/1.1 %d", want) {
			t.Errorf("%.60s: %s, want %d", path, got, want)
		}
		if bytes.Contains(b, []byte("outside")) || bytes.Contains(b, []byte("root:")) {
			t.Errorf("%s left the root", path)
		}
	}
	open := quiet(root)
	open.Symlinks, open.Hidden = true, true
	s = guarded(t, &Guard{}, open)
	if _, got := s.fetch(t, browser(t), "GET", "/out"); got != "outside" {
		t.Errorf("with Symlinks: %q", got)
	}
	if _, got := s.fetch(t, browser(t), "GET", "/.secret"); got != "s" {
		t.Errorf("with Hidden: %q", got)
	}
	if resp, _ := s.fetch(t, browser(t), "POST", "/ok.txt"); resp.StatusCode != 405 || resp.Header.Get("Allow") != "GET, HEAD" {
		t.Errorf("POST: %s, Allow %q", resp.Status, resp.Header.Get("Allow"))
	}
}

func TestFiles_RedirectsKeepTheMountAndTheQuery(t *testing.T) {
	root := tree(t, map[string]string{"d: e/x": "x", "evil.com/y": "y"})
	s := guarded(t, &Guard{}, http.StripPrefix("/files/", quiet(root)))
	for path, want := range map[string]string{
		"/files/d:%20e?q=1":   "/files/d:%20e/?q=1",
		"/files/d:%20e/x/":    "/files/d:%20e/x",
		"/files//evil.com":    "/files//evil.com/",
		"/files/evil.com/y/":  "/files/evil.com/y",
		"/files/evil.com?a=b": "/files/evil.com/?a=b",
	} {
		resp, _ := s.fetch(t, browser(t), "GET", path)
		u, err := resp.Location()
		if err != nil || resp.StatusCode != 301 {
			t.Errorf("%s: %s, %v", path, resp.Status, err)
			continue
		}
		if got := strings.TrimPrefix(u.String(), "http://"+s.addr); got != want {
			t.Errorf("%s goes to %s, want %s", path, got, want)
		}
	}
}

func TestFiles_FolderIsListedForPeopleAndPrograms(t *testing.T) {
	root := tree(t, map[string]string{"<b>&.txt": "1", "b/x": "2", "a": "333", ".hidden": "4", "javascript:alert(1)": "5", "i/index.html": "<p>index"})
	fs := quiet(root)
	fs.List = true
	s := guarded(t, &Guard{}, fs)
	_, page := s.fetch(t, browser(t), "GET", "/", "Accept", "text/html,*/*;q=0.8")
	for _, want := range []string{`href="./%3Cb%3E&amp;.txt"`, "&lt;b&gt;&amp;.txt", `href="./b/"`, `href="./javascript:alert%281%29"`} {
		if !strings.Contains(page, want) {
			t.Errorf("the page has no %s:\n%s", want, page)
		}
	}
	if strings.Contains(page, "hidden") {
		t.Error("the page shows hidden names")
	}
	for _, how := range [][]string{{"/?format=json"}, {"/", "Accept", "application/json"}} {
		resp, got := s.fetch(t, browser(t), "GET", how[0], how[1:]...)
		var list Listing
		if err := json.Unmarshal([]byte(got), &list); err != nil || resp.Header.Get("Content-Type") != "application/json" {
			t.Fatalf("%v: %v in %s", how, err, got)
		}
		names := ""
		for _, e := range list.Entries {
			names += fmt.Sprintf("%s %d %v, ", e.Name, e.Size, e.Folder)
		}
		if want := "b 0 true, i 0 true, <b>&.txt 1 false, a 3 false, javascript:alert(1) 1 false, "; names != want {
			t.Errorf("%v: %s, want %s", how, names, want)
		}
	}
	if _, got := s.fetch(t, browser(t), "GET", "/i/"); got != "<p>index" {
		t.Errorf("a folder with an index: %q", got)
	}
	if resp, _ := s.fetch(t, browser(t), "GET", "/?format=xml"); resp.StatusCode != 400 {
		t.Errorf("an unknown format: %s", resp.Status)
	}
}

func TestFiles_FileThatIsReplacedIsSeenAtOnce(t *testing.T) {
	root := tree(t, map[string]string{"f": "first"})
	s := guarded(t, &Guard{}, quiet(root))
	c := browser(t)
	var tags []string
	for i, want := range []string{"first", "other", "third"} {
		if i > 0 {
			path := filepath.Join(root.Name(), "f")
			if err := os.WriteFile(path, []byte(want), 0o600); err != nil {
				t.Fatal(err)
			}
			old := time.Now().Add(time.Duration(-i) * time.Minute) // of the same length, and older
			if err := os.Chtimes(path, old, old); err != nil {
				t.Fatal(err)
			}
		}
		for range 3 {
			resp, got := s.fetch(t, c, "GET", "/f")
			if got != want {
				t.Fatalf("got %q, want %q", got, want)
			}
			tags = append(tags, resp.Header.Get("ETag"))
		}
	}
	if tags[0] != tags[2] || tags[0] == tags[3] || tags[3] == tags[6] {
		t.Errorf("entity tags: %q", tags)
	}
}
