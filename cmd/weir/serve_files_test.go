package main

import (
	"bytes"
	"compress/gzip"
	"io"
	"log/slog"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// fetch returns an answer and its body, as it came.
func fetch(t *testing.T, url string) (*http.Response, string) {
	t.Helper()
	r, err := http.NewRequest("GET", url, nil)
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("Accept-Encoding", "gzip")
	answer, err := http.DefaultTransport.RoundTrip(r)
	if err != nil {
		t.Fatal(err)
	}
	defer answer.Body.Close()
	body, err := io.ReadAll(answer.Body)
	if err != nil {
		t.Fatal(err)
	}
	return answer, string(body)
}

func gzipped(t *testing.T, text string) []byte {
	t.Helper()
	var b bytes.Buffer
	w := gzip.NewWriter(&b)
	if _, err := w.Write([]byte(text)); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func TestServe_UploadedFilesDoNotActAsPagesOfTheServer(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	for _, in := range []string{"", "in box", "in box/sub"} {
		put(t, []byte("page"), dir, in, "x.html")
		put(t, []byte("report"), dir, in, "report.pdf")
		put(t, gzipped(t, "forged"), dir, in, "report.pdf.gz") // as long as the report, or it is not sent
	}
	put(t, []byte("index"), dir, "own", "index.html")
	put(t, []byte("index"), dir, "in box", "index.html")
	for _, c := range []struct {
		uploads, below string
		careful        bool
	}{
		{"", "", false}, {"", "in%20box/", false}, {"in box", "", false}, {"in box", "in%20box/", true}, {"in box", "IN%20box/", true},
		{"in box", "in%20box/sub/", true}, {".", "", true}, {".", "in%20box/", true},
	} {
		args := []string{dir}
		if c.uploads != "" {
			args = append(args, "--uploads", dir+"/"+c.uploads)
		}
		s := startServe(t, args...)
		if _, err := os.Stat(dir + "/IN box"); err != nil && strings.HasPrefix(c.below, "IN") {
			continue // it is another name here
		}
		answer, body := fetch(t, s.url+c.below+"x.html")
		if policy := answer.Header.Get("Content-Security-Policy"); body != "page" || (policy == "sandbox") != c.careful {
			t.Errorf("%+v: a page is %q with the policy %q", c, body, policy)
		}
		if answer.Header.Get("X-Content-Type-Options") != "nosniff" {
			t.Errorf("%+v: its type may be guessed", c)
		}
		if _, body := fetch(t, s.url+c.below+"report.pdf"); (body == "report") != c.careful {
			t.Errorf("%+v: a file is %q", c, body)
		}
		answer, body = fetch(t, s.url+"in%20box/")
		if (body == "index") != (c.uploads == "") {
			t.Errorf("%+v: the folder is %.20q", c, body)
		}
		if c.uploads != "" && !strings.Contains(answer.Header.Get("Content-Security-Policy"), "script-src 'self'") {
			t.Errorf("%+v: the listing is in a sandbox", c)
		}
		s.end()
	}
}

func TestServe_UploadedFilesBehindLinksDoNotActAsPagesOfTheServer(t *testing.T) {
	t.Parallel()
	dir, outside := t.TempDir(), t.TempDir()
	for _, in := range []string{dir + "/in box", outside} {
		put(t, []byte("page"), in, "", "x.html")
		put(t, []byte("page"), in, "sub", "x.html")
	}
	put(t, []byte("page"), dir, "own", "x.html")
	links := map[string]string{
		"alias": "in box", "own/deep": "../in box/sub", "file.html": "in box/x.html", "twice": "alias",
		"own/index.html": "../in box/x.html", "outside": outside,
	}
	for name, target := range links {
		if err := os.Symlink(filepath.FromSlash(target), filepath.Join(dir, filepath.FromSlash(name))); err != nil {
			t.Skip(err)
		}
	}
	for _, c := range []struct {
		uploads, at string
		careful     bool
	}{
		{dir + "/in box", "alias/x.html", true}, {dir + "/in box", "alias/sub/x.html", true}, {dir + "/in box", "own/deep/x.html", true},
		{dir + "/in box", "file.html", true}, {dir + "/in box", "twice/x.html", true}, {dir + "/in box", "own/x.html", false},
		{dir + "/alias", "in%20box/x.html", true}, {outside, "outside/x.html", true}, {outside, "outside/sub/x.html", true}, {outside, "alias/x.html", false},
	} {
		s := startServe(t, dir, "--symlinks", "--uploads", c.uploads)
		answer, body := fetch(t, s.url+c.at)
		if policy := answer.Header.Get("Content-Security-Policy"); body != "page" || (policy == "sandbox") != c.careful {
			t.Errorf("%+v: a page is %q with the policy %q", c, body, policy)
		}
		if _, body := fetch(t, s.url+"own/"); (body == "page") == (c.uploads != outside) {
			t.Errorf("%+v: the folder with an uploaded index is %.20q", c, body)
		}
		s.end()
	}
}

func TestServe_StoredFileIsWhereItsLocationSays(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	put(t, nil, dir, "in box", "x")
	s := startServe(t, dir, "--uploads", dir+"/in box")
	to, err := s.store(t, "a%20b.txt", "stored").Location()
	if err != nil {
		t.Fatal(err)
	}
	if _, body := fetch(t, to.String()); body != "stored" {
		t.Errorf("%s is %q", to, body)
	}
	s.end()

	// A file that nobody can read has no Location.
	s = startServe(t, dir, "--uploads", t.TempDir())
	form := "--b\r\nContent-Disposition: form-data; name=f; filename=f.txt\r\n\r\nstored\r\n--b--\r\n"
	for _, c := range []struct {
		method, at, body string
		header           http.Header
	}{
		{"PUT", "put.txt", "stored", nil},
		{"POST", "?name=post.txt", "stored", nil},
		{"POST", "", form, http.Header{"Content-Type": {"multipart/form-data; boundary=b"}}},
	} {
		req, _ := http.NewRequest(c.method, s.url+"_upload/"+c.at, strings.NewReader(c.body))
		for name, values := range c.header {
			req.Header[name] = values
		}
		resp, err := http.DefaultClient.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		resp.Body.Close()
		if at := resp.Header.Get("Location"); resp.StatusCode != http.StatusCreated || at != "" {
			t.Errorf("%s %s: %s, Location %q", c.method, c.at, resp.Status, at)
		}
	}
}

func TestServe_ErrorsOfTheServerAreLoggedButForHandshakes(t *testing.T) {
	t.Parallel()
	var out bytes.Buffer
	l := serverLog(slog.New(slog.NewTextHandler(&out, nil)))
	l.Print("http: TLS handshake error from 192.0.2.1:1: EOF")
	l.Print("http: panic serving 192.0.2.1:1: oh")
	if text := out.String(); !strings.Contains(text, "level=WARN") || !strings.Contains(text, "oh") || strings.Contains(text, "handshake") {
		t.Error(text)
	}
}
