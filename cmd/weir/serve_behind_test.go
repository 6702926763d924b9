//go:build unix

package main

import (
	"bytes"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"
)

// settingsIn returns the example in docs/serve.md for a proxy, which is the block of that
// language.
func settingsIn(t *testing.T, language string) string {
	t.Helper()
	text, err := os.ReadFile("../../docs/serve.md")
	if err != nil {
		t.Fatal(err)
	}
	found := regexp.MustCompile("(?s)```" + language + "\n(.*?)```").FindSubmatch(text)
	if found == nil {
		t.Fatalf("docs/serve.md has no %s settings", language)
	}
	return string(found[1])
}

// startProxy runs a proxy in front of a server until the test ends, and returns the address
// that it listens on. prepare makes its command, for a port that nobody had a moment ago.
func startProxy(t *testing.T, prepare func(dir, addr string) *exec.Cmd) string {
	t.Helper()
	for range 5 {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		addr := l.Addr().String()
		l.Close()
		c := prepare(t.TempDir(), addr)
		var out bytes.Buffer
		c.Stdout, c.Stderr = &out, &out
		if err := c.Start(); err != nil {
			t.Fatal(err)
		}
		ended := make(chan struct{})
		go func() { _ = c.Wait(); close(ended) }()
		t.Cleanup(func() {
			_ = c.Process.Signal(os.Interrupt)
			<-ended
		})
		for {
			select {
			case <-ended:
			case <-time.After(20 * time.Millisecond):
				if c, err := net.Dial("tcp", addr); err == nil {
					c.Close()
					return addr
				}
				continue
			}
			break
		}
		t.Logf("on %s: %s", addr, &out)
	}
	t.Fatal("the proxy does not start")
	return ""
}

// passes checks that a server behind a proxy at addr does what it does without one.
func passes(t *testing.T, s *served, dir, addr string) {
	t.Helper()
	content := noise(3 << 20)
	put(t, content, dir, "big.bin")
	ask := func(method, path string, body []byte, header ...string) (*http.Response, []byte) {
		t.Helper()
		r, err := http.NewRequest(method, "http://"+addr+path, bytes.NewReader(body))
		if err != nil {
			t.Fatal(err)
		}
		r.Host = "files.example"
		for i := 0; i < len(header); i += 2 {
			r.Header.Set(header[i], header[i+1])
		}
		answer, err := http.DefaultClient.Do(r)
		if err != nil {
			t.Fatal(err)
		}
		defer answer.Body.Close()
		got, err := io.ReadAll(answer.Body)
		if err != nil {
			t.Fatal(err)
		}
		return answer, got
	}
	if answer, got := ask("GET", "/big.bin", nil); answer.StatusCode != 200 || !bytes.Equal(got, content) {
		t.Errorf("download: %s, %d bytes", answer.Status, len(got))
	}
	whole, _ := ask("HEAD", "/big.bin", nil)
	answer, got := ask("GET", "/big.bin", nil, "Range", "bytes=100-199", "If-Range", whole.Header.Get("ETag"))
	if answer.StatusCode != 206 || !bytes.Equal(got, content[100:200]) {
		t.Errorf("range: %s, %d bytes", answer.Status, len(got))
	}
	if answer, got := ask("PUT", "/_upload/put.bin", content); answer.StatusCode != 201 {
		t.Errorf("PUT: %s %s", answer.Status, got)
	}
	same(t, filepath.Join(dir, "put.bin"), content)
	begun, _ := ask("POST", "/_upload/", nil, "Tus-Resumable", "1.0.0", "Upload-Length", fmt.Sprint(len(content)), "Upload-Metadata", "filename dHVzLmJpbg==")
	at := begun.Header.Get("Location")
	if at = at[strings.Index(at, "/_upload/"):]; begun.StatusCode != 201 {
		t.Fatal(begun.Status)
	}
	for from := 0; from < len(content); from += 1 << 20 {
		answer, got := ask("PATCH", at, content[from:from+1<<20], "Tus-Resumable", "1.0.0", "Upload-Offset", fmt.Sprint(from), "Content-Type", "application/offset+octet-stream")
		if answer.StatusCode != 204 {
			t.Fatalf("PATCH: %s %s", answer.Status, got)
		}
	}
	same(t, filepath.Join(dir, "tus.bin"), content)
	if answer, _ := ask("GET", "/_weir/status.json", nil); answer.StatusCode == 200 {
		t.Error("the monitor is open to those behind the proxy")
	}
	if answer, _ := ask("POST", "/_upload/", []byte("x"), "Origin", "https://evil.example", "Sec-Fetch-Site", "cross-site"); answer.StatusCode != 403 {
		t.Errorf("a page of another origin: %s", answer.Status)
	}
	s.end()
	for _, r := range s.requests(t) {
		if r.Client != "127.0.0.1" {
			t.Errorf("%s %s: logged as from %s", r.Method, r.Path, r.Client)
		}
	}
}

func TestServe_BehindNginxAsTheDocsSay(t *testing.T) {
	t.Parallel()
	program, err := exec.LookPath("nginx")
	if err != nil {
		program, err = exec.LookPath("/usr/sbin/nginx")
	}
	if err != nil {
		t.Skip("no nginx in PATH: its settings are not tested (apt-get install nginx-light)")
	}
	dir, path := t.TempDir(), filepath.Join(shortDir(t), "http.sock")
	s := startServe(t, dir, "--uploads", dir, "--listen", "unix:"+path, "--socket-mode", "0666", "--trusted-proxy", "unix")
	server := strings.ReplaceAll(settingsIn(t, "nginx"), "/run/weir/http.sock", path)
	addr := startProxy(t, func(own, addr string) *exec.Cmd {
		if os.Geteuid() == 0 { // the workers of nginx are another user, who must reach the socket
			for _, d := range []string{filepath.Dir(path), own} {
				if err := os.Chmod(d, 0o755); err != nil {
					t.Fatal(err)
				}
			}
		}
		conf := fmt.Sprintf("daemon off; pid %[1]s/pid; error_log stderr; events {}\nhttp {\naccess_log off;\nclient_body_temp_path %[1]s/body; proxy_temp_path %[1]s/proxy; "+
			"fastcgi_temp_path %[1]s/f; uwsgi_temp_path %[1]s/u; scgi_temp_path %[1]s/s;\n%[2]s}\n", own, strings.Replace(server, "listen 80;", "listen "+addr+";", 1))
		return exec.Command(program, "-e", "stderr", "-p", own, "-c", put(t, []byte(conf), own, "nginx.conf"))
	})
	passes(t, s, dir, addr)
}

func TestServe_BehindCaddyAsTheDocsSay(t *testing.T) {
	t.Parallel()
	program, err := exec.LookPath("caddy")
	if err != nil {
		t.Skip("no caddy in PATH: its settings are not tested (apt-get install caddy)")
	}
	dir, path := t.TempDir(), filepath.Join(shortDir(t), "http.sock")
	s := startServe(t, dir, "--uploads", dir, "--listen", "unix:"+path, "--trusted-proxy", "unix")
	site := strings.ReplaceAll(settingsIn(t, "caddy"), "/run/weir/http.sock", path)
	addr := startProxy(t, func(own, addr string) *exec.Cmd {
		conf := "{\n\tadmin off\n\tauto_https off\n}\n" + strings.Replace(site, "files.example {", "http://files.example:"+addr[strings.LastIndexByte(addr, ':')+1:]+" {\n\tbind 127.0.0.1", 1)
		c := exec.Command(program, "run", "--adapter", "caddyfile", "--config", put(t, []byte(conf), own, "Caddyfile"))
		c.Env = append(os.Environ(), "HOME="+own, "XDG_DATA_HOME="+own, "XDG_CONFIG_HOME="+own)
		return c
	})
	passes(t, s, dir, addr)
}
