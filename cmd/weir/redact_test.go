package main

import (
	"bytes"
	"io"
	"io/fs"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// TestMessages_HoldNoPasswordOfAURL runs command lines with a URL that has a
// password and a signature: as source, destination, stage and flag, in text and
// in JSON, with all that can be said of them.
func TestMessages_HoldNoPasswordOfAURL(t *testing.T) {
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch r.URL.Path {
		case "/whole":
			_, _ = w.Write([]byte("some text\n"))
		case "/breaks":
			w.Header().Set("Content-Length", "1000000")
			_, _ = w.Write(make([]byte, 100_000))
			panic(http.ErrAbortHandler)
		case "/put":
			w.WriteHeader(http.StatusCreated)
		default:
			http.NotFound(w, r)
		}
	}))
	defer srv.Close()
	host := strings.TrimPrefix(srv.URL, "http://")
	dir := t.TempDir()
	t.Chdir(dir)
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	must(os.Mkdir("photos", 0o755))
	must(os.WriteFile("photos/a", []byte("a"), 0o644))
	must(os.WriteFile("file", []byte("text\n"), 0o644))
	const secret = "s3cr3t"
	t.Setenv("AWS_ENDPOINT_URL", srv.URL)
	t.Setenv("AWS_ACCESS_KEY_ID", "key")
	t.Setenv("AWS_SECRET_ACCESS_KEY", "key")
	t.Setenv("AWS_REGION", "here")
	urls := []string{"http://ann:" + secret + "@" + host, "http://ann:" + secret + "@127.0.0.1:1", "s3://ann:" + secret + "@bucket",
		"http://ann:" + secret + "/x@" + host, "gopher://ann:" + secret + "@h"}
	for _, u := range urls {
		for _, words := range []string{
			"copy photos U/", "copy U/whole U/whole", "copy U/whole out", "copy U/whole file U/whole photos", "copy U/whole /dev/null --verify",
			"copy U/whole no/such/place", "copy U/none x", "copy U/none?sig=" + secret + "/x x", "copy U/ U/", "copy file U/put", "copy file U/none",
			"copy U/breaks part --keep-partial", "copy U/breaks part --resume", "copy U/none part --resume", "copy photos U/ --delete", "copy file U/put --verify",
			"pipe U/whole upper out", "pipe U/whole uper U/put", "pipe U/whole grep:[ U/put", "pipe file tee:U/put out", "pipe U/whole U/put gzip",
			"pipe file tee:U/put upper tee:U/whole upper uper out", "pipe file tee:U out", "pipe U/whole gunzip x", "pipe file exec:U/put out",
			"pipe U/whole gzip:level=U out", "pipe U/none upper tee:no/such/x y",
			"gzip U", "gzip -c U/whole", "gzip U U file -f", "gunzip -t U", "zstd --window U file", "gzip -S U file",
			"U", "help U", "copy --U", "copy a b --memory U", "copy a b --rate U", "copy file x --exclude U[ ", "copy file x --progress U",
			"serve U", "serve --listen U", "serve --auth U", "serve no --cors U --host U", "serve --uploads U", "stages U", "who U", "password U a",
		} {
			for _, more := range []string{"-v", "--json", "--dry-run", "--dry-run --json"} {
				args := strings.Fields(strings.ReplaceAll(words+" "+more, "U", u))
				var stdout, stderr bytes.Buffer
				run(args, &stdout, &stderr)
				if out := stdout.String() + stderr.String(); strings.Contains(out, secret) {
					t.Errorf("weir %s\n%s", strings.Join(args, " "), out)
				}
			}
		}
	}
	run([]string{"copy", urls[0] + "/breaks", "part", "--keep-partial"}, io.Discard, io.Discard)
	must(filepath.WalkDir(".", func(path string, d fs.DirEntry, err error) error {
		if err != nil || !d.Type().IsRegular() {
			return err
		}
		text, err := os.ReadFile(path)
		if strings.Contains(path+string(text), secret) && !strings.Contains(path, secret) {
			t.Errorf("%s: %s", path, text)
		}
		return err
	}))
	if _, err := os.Stat("part.weir-part.json"); err != nil {
		t.Error(err, "so no note was looked at")
	}
}
