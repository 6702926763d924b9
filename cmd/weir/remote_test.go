package main

import (
	"bytes"
	"encoding/pem"
	"io"
	"io/fs"
	"log"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
)

// asking records the requests to a server.
type asking struct {
	mu   sync.Mutex
	seen []string // method, path, and the fields X-Key and Authorization
}

func (a *asking) note(r *http.Request) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.seen = append(a.seen, strings.Join([]string{r.Method, r.URL.Path, r.Header.Get("X-Key"), r.Header.Get("Authorization")}, " "))
}

func TestRemote_HeadersReachTheirHostOnly(t *testing.T) {
	t.Chdir(t.TempDir())
	var here, there asking
	other := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		there.note(r)
		_, _ = io.Copy(io.Discard, r.Body)
		_, _ = io.WriteString(w, "there")
	}))
	defer other.Close()
	away := strings.Replace(other.URL, "127.0.0.1", "localhost", 1)
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		here.note(r)
		if strings.HasPrefix(r.URL.Path, "/away") {
			http.Redirect(w, r, away+"/x", http.StatusTemporaryRedirect)
			return
		}
		_, _ = io.Copy(io.Discard, r.Body)
		_, _ = io.WriteString(w, "here")
	}))
	defer srv.Close()
	put(t, []byte("X-Key: s3cr3t\r\nAuthorization: Bearer s3cr3t\r\n"), ".", "fields")
	put(t, []byte("text"), ".", "file")
	for _, words := range []string{
		"copy U/a out -H @fields", "copy file U/b -H @fields", "pipe U/c upper out -H @fields", "pipe file tee:U/d out -H @fields",
		"copy U/away out -H @fields", "copy file U/away -H @fields", "copy U/e part --keep-partial -H @fields", "copy U/a U/f -H @fields",
	} {
		var stdout, stderr bytes.Buffer
		if code := run(strings.Fields(strings.ReplaceAll(words, "U", srv.URL)), &stdout, &stderr); code != exitOK {
			t.Errorf("%s: exit code %d\n%s", words, code, &stderr)
		}
	}
	for _, seen := range here.seen {
		if !strings.HasSuffix(seen, " s3cr3t Bearer s3cr3t") {
			t.Errorf("without its fields: %s", seen)
		}
	}
	for _, path := range []string{"/a", "/b", "/c", "/d", "/e", "/f", "/away"} {
		if !slices.ContainsFunc(here.seen, func(s string) bool { return strings.Contains(s, " "+path+" ") }) {
			t.Errorf("%s was not asked for", path)
		}
	}
	if len(there.seen) < 2 || strings.Contains(strings.Join(there.seen, "\n"), "s3cr3t") {
		t.Errorf("the other host was asked %q", there.seen)
	}
}

func TestRemote_FieldsOfHeadersAreInNoMessageAndNoNote(t *testing.T) {
	t.Chdir(t.TempDir())
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path != "/breaks" || r.Header.Get("Range") != "" { // no other attempt follows
			http.NotFound(w, r)
			return
		}
		w.Header().Set("Content-Length", "1000000")
		w.Header().Set("Accept-Ranges", "bytes")
		w.Header().Set("ETag", `"x"`)
		_, _ = w.Write(make([]byte, 100_000))
		panic(http.ErrAbortHandler)
	}))
	defer srv.Close()
	srv.Config.ErrorLog = log.New(io.Discard, "", 0)
	const secret = "s3cr3t"
	for _, header := range []string{"X-Key: " + secret, "Authorization: Bearer " + secret, secret, "bad name: " + secret, "X: a\x01" + secret, "Range: " + secret} {
		for _, words := range []string{"copy U/x out", "copy U/x out --json", "copy U/breaks out -v --keep-partial", "pipe U/x uper out", "copy U/x http://other.example/y", "copy U/x out --dry-run --json"} {
			for _, args := range [][]string{{"-H", header}, {"-H" + header}, {"--header=" + header}} {
				var out bytes.Buffer
				run(append(strings.Fields(strings.ReplaceAll(words, "U", srv.URL)), args...), &out, &out)
				if strings.Contains(out.String(), secret) {
					t.Errorf("%s %q\n%s", words, args, &out)
				}
			}
		}
		t.Setenv("WEIR_HEADER", header)
		var out bytes.Buffer
		run([]string{"copy", srv.URL + "/x", "out"}, &out, &out)
		if strings.Contains(out.String(), secret) {
			t.Errorf("WEIR_HEADER: %s", &out)
		}
		os.Unsetenv("WEIR_HEADER")
	}
	notes := 0
	err := filepath.WalkDir(".", func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		text, err := os.ReadFile(path)
		if strings.HasSuffix(path, ".json") {
			notes++
		}
		if strings.Contains(string(text), secret) {
			t.Errorf("%s: %s", path, text)
		}
		return err
	})
	if err != nil || notes == 0 {
		t.Errorf("%d notes were looked at: %v", notes, err)
	}
	for _, args := range [][]string{
		{"curl", "-H", "X-Key: s3cr3t", "u"}, {"curl", "-HX-Key: s3cr3t"}, {"wget", "--header=X-Key: s3cr3t"}, {"weir", "copy", "--header", "A:s3cr3t"},
		{"curl", "Authorization: s3cr3t"}, {"curl", "http://ann:s3cr3t@host/"},
		{"weir", "top", "--user", "ann:s3cr3t"}, {"weir", "top", "--user=ann:s3cr3t"},
	} {
		if shown := strings.Join(discreetArgs(args), " "); strings.Contains(shown, secret) || !strings.HasPrefix(shown, args[0]) {
			t.Errorf("%q: %s", args, shown)
		}
	}
}

func TestRemote_CertificatesAreTrustedAsToldAndNoOther(t *testing.T) {
	t.Chdir(t.TempDir())
	srv := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
		_, _ = io.WriteString(w, "safe")
	}))
	srv.Config.ErrorLog = log.New(io.Discard, "", 0)
	srv.StartTLS()
	defer srv.Close()
	put(t, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: srv.Certificate().Raw}), ".", "ca.pem")
	put(t, []byte("no certificate"), ".", "not.pem")
	put(t, []byte("text"), ".", "file")
	for _, c := range []struct {
		words string
		code  int
		says  string
	}{
		{"copy U/x out", exitSource, "try: add --cacert FILE"},
		{"copy U/x out --cacert ca.pem", exitOK, ""},
		{"copy U/x out --insecure", exitOK, ""},
		{"copy file U/x --cacert ca.pem", exitOK, ""},
		{"copy file U/x", exitDestination, "try: add --cacert FILE"},
		{"pipe U/x upper out --cacert ca.pem", exitOK, ""},
		{"pipe file tee:U/x out --cacert ca.pem", exitOK, ""},
		{"copy U/x out --cacert not.pem", exitUsage, "contains no certificate"},
		{"copy U/x out --cacert none.pem", exitUsage, "no such file"},
		{"copy U/x out --cacert ca.pem --insecure", exitUsage, "leave out one"},
	} {
		var out bytes.Buffer
		code := run(strings.Fields(strings.ReplaceAll(c.words, "U", srv.URL)), &out, &out)
		if code != c.code || !strings.Contains(out.String(), c.says) {
			t.Errorf("%s: exit code %d, want %d and %q\n%s", c.words, code, c.code, c.says, &out)
		}
	}
}
