//go:build !nobrowser

package main

import (
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/chromedp/chromedp"
)

// narrow is a proxy that allows so many bytes in the body of a request.
type narrow struct {
	url string // with a slash at its end

	mu      sync.Mutex // guards the fields below
	passed  []int64    // lengths of the bodies that it has passed on
	refused int
}

// newNarrow starts a proxy in front of s. It answers a larger request with a page of its
// own, as nginx does, or with cuts breaks the connection when the limit is reached.
func newNarrow(t *testing.T, s *served, limit int64, cuts bool) *narrow {
	t.Helper()
	to, err := url.Parse(s.url)
	if err != nil {
		t.Fatal(err)
	}
	n := new(narrow)
	forward := &httputil.ReverseProxy{
		Rewrite:      func(r *httputil.ProxyRequest) { r.SetURL(to); r.Out.Host = r.In.Host },
		ErrorHandler: func(http.ResponseWriter, *http.Request, error) { panic(http.ErrAbortHandler) },
	}
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		n.mu.Lock()
		large := r.ContentLength > limit
		if large {
			n.refused++
		} else if r.ContentLength > 0 {
			n.passed = append(n.passed, r.ContentLength)
		}
		n.mu.Unlock()
		if large && !cuts {
			w.Header().Set("Content-Type", "text/html")
			w.Header().Set("Connection", "close")
			w.WriteHeader(http.StatusRequestEntityTooLarge)
			_, _ = io.WriteString(w, "<html><head><title>413 Request Entity Too Large</title></head></html>")
			return
		}
		if large {
			r.Body = &cut{ReadCloser: r.Body, left: limit}
		}
		forward.ServeHTTP(w, r)
	}))
	t.Cleanup(srv.Close)
	n.url = srv.URL + "/"
	return n
}

// cut is a body that breaks off.
type cut struct {
	io.ReadCloser
	left int64
}

func (c *cut) Read(p []byte) (int, error) {
	if c.left == 0 {
		return 0, errors.New("limit reached")
	}
	n, err := c.ReadCloser.Read(p[:min(int64(len(p)), c.left)])
	c.left -= int64(n)
	return n, err
}

func TestServe_PageUploadsThroughAProxyThatAllowsOneMebibyte(t *testing.T) {
	t.Parallel()
	for name, cuts := range map[string]bool{"refuses": false, "cuts": true} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			in, content := t.TempDir(), noise(5<<20+7)
			file, again := put(t, content, t.TempDir(), "large.bin"), put(t, content[1:], t.TempDir(), "again.bin")
			n := newNarrow(t, startServe(t, t.TempDir(), "--uploads", in), 1<<20, cuts)
			ctx := openBrowser(t)
			do(t, ctx, chromedp.Navigate(n.url), choose(file), says("large.bin", "done", "Done, 5 MiB"))
			same(t, filepath.Join(in, "large.bin"), content)
			n.mu.Lock()
			refused := n.refused
			n.mu.Unlock()
			if refused == 0 {
				t.Error("the proxy refused nothing")
			}
			// The page remembers, after a reload too.
			do(t, ctx, chromedp.Reload(), seen(`typeof rows === "object"`), choose(again), says("again.bin", "done", "Done, 5 MiB"))
			same(t, filepath.Join(in, "again.bin"), content[1:])
			n.mu.Lock()
			defer n.mu.Unlock()
			if more := n.refused - refused; more > 0 {
				t.Errorf("%d more requests were refused, of %d before", more, refused)
			}
		})
	}
}

func TestServe_PageSendsPiecesOfTheAnnouncedSize(t *testing.T) {
	t.Parallel()
	in, content := t.TempDir(), noise(3<<20)
	file := put(t, content, t.TempDir(), "a.bin")
	s := startServe(t, t.TempDir(), "--uploads", in, "--max-request", "1MiB")
	ctx := openBrowser(t)
	do(t, ctx, chromedp.Navigate(s.url), choose(file), says("a.bin", "done", "Done, 3 MiB"))
	same(t, filepath.Join(in, "a.bin"), content)
	for what, body := range map[string]io.Reader{"length": strings.NewReader(strings.Repeat("x", 1<<20+1)), "no length": io.LimitReader(&zeros{}, 1<<20+1)} {
		if answer := s.send(t, "b.bin", body); answer.StatusCode != 413 {
			t.Errorf("%s: %s", what, answer.Status)
		}
	}
	s.end()
	for _, r := range s.requests(t) {
		if r.Method == "PATCH" && (r.Status != 204 || r.Bytes != 1<<20) {
			t.Errorf("%+v", r)
		}
	}
}

type zeros struct{}

func (*zeros) Read(p []byte) (int, error) { clear(p); return len(p), nil }

func TestServe_PageShowsNoTextOfOtherServers(t *testing.T) {
	t.Parallel()
	s := startServe(t, t.TempDir(), "--uploads", t.TempDir())
	to, err := url.Parse(s.url)
	if err != nil {
		t.Fatal(err)
	}
	forward := httputil.NewSingleHostReverseProxy(to)
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method == "POST" {
			w.Header().Set("Content-Type", "text/plain")
			w.WriteHeader(http.StatusForbidden)
			_, _ = io.WriteString(w, "BUY OUR FIREWALL")
			return
		}
		forward.ServeHTTP(w, r)
	}))
	defer srv.Close()
	ctx := openBrowser(t)
	do(t, ctx, chromedp.Navigate(srv.URL+"/"), choose(put(t, []byte("x"), t.TempDir(), "a.txt")),
		says("a.txt", "failed", "You may not upload here"), seen(`!document.body.textContent.includes("FIREWALL")`))
}
