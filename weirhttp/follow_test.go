package weirhttp

import (
	"bufio"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// liveSite serves a folder whose files can be followed, and takes uploads into it.
func liveSite(t *testing.T, files map[string]string, change func(*FileServer)) (s *site, dir string) {
	t.Helper()
	root := tree(t, files)
	h := quiet(root)
	h.Followers = 10
	if change != nil {
		change(h)
	}
	up := UploadTo(root.Name())
	up.Log = slog.New(slog.DiscardHandler)
	mux := http.NewServeMux()
	mux.Handle("/", h)
	mux.Handle("/up/", up)
	s = guarded(t, new(Guard), mux)
	t.Cleanup(func() {
		up.Close()
		dir := pathOf(root)
		arriving.mu.Lock()
		defer arriving.mu.Unlock()
		for path := range arriving.byPath {
			if filepath.Dir(path) == dir {
				t.Errorf("%s is still arriving", path)
			}
		}
	})
	return s, root.Name()
}

// follow begins to follow a file.
func follow(t *testing.T, s *site, path string) (*http.Response, *bufio.Reader) {
	t.Helper()
	resp, err := browser(t).Get(s.url(path))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { resp.Body.Close() })
	if resp.StatusCode != 200 {
		t.Fatalf("%s: %s", path, resp.Status)
	}
	return resp, bufio.NewReader(resp.Body)
}

func expect(t *testing.T, r io.Reader, want string) {
	t.Helper()
	b := make([]byte, len(want))
	if _, err := io.ReadFull(r, b); err != nil || string(b) != want {
		t.Fatalf("%q, %v, want %q", b, err, want)
	}
}

func appendTo(t *testing.T, path, text string) {
	t.Helper()
	f, err := os.OpenFile(path, os.O_APPEND|os.O_WRONLY|os.O_CREATE, 0o644)
	if err == nil {
		_, err = f.WriteString(text)
		f.Close()
	}
	if err != nil {
		t.Fatal(err)
	}
}

func TestFollow_SendsWhatIsAppended(t *testing.T) {
	for end, how := range map[string]struct {
		change func(t *testing.T, path string)
		whole  bool
	}{
		"is renamed, as logs are": {func(t *testing.T, path string) {
			if err := os.Rename(path, path+".1"); err != nil {
				t.Fatal(err)
			}
			appendTo(t, path, "the next file")
		}, true},
		"is removed": {func(t *testing.T, path string) {
			if err := os.Remove(path); err != nil {
				t.Fatal(err)
			}
		}, true},
		"shrinks": {func(t *testing.T, path string) {
			if err := os.Truncate(path, 3); err != nil {
				t.Fatal(err)
			}
		}, false},
	} {
		t.Run(end, func(t *testing.T) {
			s, dir := liveSite(t, map[string]string{"log": "one\n"}, nil)
			path := filepath.Join(dir, "log")
			resp, body := follow(t, s, "/log?follow")
			if resp.ContentLength != -1 || resp.Header.Get("ETag") != "" || resp.Header.Get("Cache-Control") != "no-store" {
				t.Errorf("%d bytes, %v", resp.ContentLength, resp.Header)
			}
			expect(t, body, "one\n")
			for i := range 3 {
				text := fmt.Sprintln("line", i)
				appendTo(t, path, text)
				expect(t, body, text)
			}
			eventually(t, func() bool {
				l := s.g.Transfers.List()
				return len(l) == 1 && l[0].State == StateFile && l[0].Size == -1 && l[0].Moved == 4+3*7
			}, "it does not wait for the file")
			if v := s.g.Transfers.List()[0].Report().Verdict; v.Stage != "read" {
				t.Errorf("the bottleneck is %+v, not the file", v)
			}
			how.change(t, path)
			if rest, err := io.ReadAll(body); (err == nil) != how.whole || len(rest) != 0 {
				t.Errorf("at the end: %q, %v", rest, err)
			}
		})
	}
}

func TestFollow_BeginsWhereTheClientWants(t *testing.T) {
	s, _ := liveSite(t, map[string]string{"f": "0123456789"}, func(h *FileServer) { h.FollowWait = 50 * time.Millisecond })
	for query, want := range map[string]string{"": "0123456789", "=": "0123456789", "=4": "456789", "=-3": "789", "=10": "", "=99": "", "=-99": "0123456789"} {
		if resp, got := s.fetch(t, browser(t), "GET", "/f?follow"+query); resp.StatusCode != 200 || got != want {
			t.Errorf("%s: %s, %q, want %q", query, resp.Status, got, want)
		}
	}
	for path, want := range map[string]int{"/f?follow=x": 400, "/none?follow": 404, "/?follow": 403, "/f/?follow": 301} {
		if resp, _ := s.fetch(t, browser(t), "GET", path); resp.StatusCode != want {
			t.Errorf("%s: %s, want %d", path, resp.Status, want)
		}
	}
	if resp, body := s.fetch(t, browser(t), "HEAD", "/f?follow"); resp.StatusCode != 200 || body != "" {
		t.Errorf("HEAD: %s", resp.Status)
	}
	off, _ := liveSite(t, map[string]string{"f": "0123456789"}, func(h *FileServer) { h.Followers = 0 })
	if resp, got := off.fetch(t, browser(t), "GET", "/f?follow=4"); resp.ContentLength != 10 || got != "0123456789" {
		t.Errorf("where nobody can follow: %q", got)
	}
}

func TestFollow_IsBounded(t *testing.T) {
	s, _ := liveSite(t, map[string]string{"f": "text"}, func(h *FileServer) { h.Followers = 2 })
	var first *http.Response
	for i := range 2 {
		resp, body := follow(t, s, "/f?follow")
		expect(t, body, "text")
		if i == 0 {
			first = resp
		}
	}
	if resp, _ := s.fetch(t, browser(t), "GET", "/f?follow"); resp.StatusCode != 503 || resp.Header.Get("Retry-After") == "" {
		t.Errorf("a third: %s", resp.Status)
	}
	if resp, got := s.fetch(t, browser(t), "GET", "/f"); resp.StatusCode != 200 || got != "text" {
		t.Errorf("the file itself: %s", resp.Status)
	}
	first.Body.Close() // its client leaves
	eventually(t, func() bool { return s.g.Transfers.Totals().Active == 1 }, "it is still followed")
	eventually(t, func() bool {
		resp, err := browser(t).Get(s.url("/f?follow"))
		if err != nil {
			t.Fatal(err)
		}
		resp.Body.Close()
		return resp.StatusCode == 200
	}, "its place is not free")
}

func TestFollow_EndsWithTheServer(t *testing.T) {
	s, _ := liveSite(t, map[string]string{"f": "text"}, nil)
	_, body := follow(t, s, "/f?follow")
	expect(t, body, "text")
	go s.g.Shutdown(t.Context())
	if rest, err := io.ReadAll(body); err != nil || len(rest) != 0 {
		t.Errorf("%q, %v", rest, err)
	}
}

// uploading begins to upload a file of some length, -1 for unknown, and returns where its
// bytes go. The upload ends when that is closed.
func uploading(t *testing.T, s *site, name string, size int64) (*io.PipeWriter, <-chan int) {
	t.Helper()
	pr, pw := io.Pipe()
	req, err := http.NewRequest("PUT", s.url("/up/"+name), struct{ io.Reader }{pr})
	if err != nil {
		t.Fatal(err)
	}
	req.ContentLength = size
	t.Cleanup(func() { pw.CloseWithError(io.ErrClosedPipe) })
	status := make(chan int, 1)
	go func() {
		resp, err := browser(t).Do(req)
		if err != nil {
			status <- 0
			return
		}
		resp.Body.Close()
		status <- resp.StatusCode
	}()
	return pw, status
}

func TestFollow_UploadIsReadAsItArrives(t *testing.T) {
	for _, size := range []int64{10, -1} {
		for _, end := range []string{"complete", "broken"} {
			t.Run(fmt.Sprint(end, size), func(t *testing.T) {
				s, dir := liveSite(t, map[string]string{"other": ""}, nil)
				up, status := uploading(t, s, "new", size)
				io.WriteString(up, "0123")
				eventually(t, func() bool {
					l := s.g.Transfers.List()
					return len(l) == 1 && l[0].Moved == 4
				}, "it did not arrive")
				if resp, _ := s.fetch(t, browser(t), "GET", "/new"); resp.StatusCode != 404 {
					t.Errorf("half a file: %s", resp.Status)
				}
				resp, body := follow(t, s, "/new?follow")
				expect(t, body, "0123")
				_, late := follow(t, s, "/new?follow=6")
				io.WriteString(up, "45678")
				expect(t, body, "45678")
				expect(t, late, "678")
				if resp.ContentLength != size {
					t.Errorf("%d bytes are announced, want %d", resp.ContentLength, size)
				}
				if end == "broken" {
					up.CloseWithError(io.ErrClosedPipe)
					<-status
					for _, r := range []io.Reader{body, late} {
						if rest, err := io.ReadAll(r); err == nil {
							t.Errorf("a broken upload looks whole, with %q at its end", rest)
						}
					}
					return
				}
				io.WriteString(up, "9")
				up.Close()
				if got := <-status; got != 201 {
					t.Errorf("the upload: %d", got)
				}
				for _, r := range []io.Reader{body, late} {
					if rest, err := io.ReadAll(r); err != nil || string(rest) != "9" {
						t.Errorf("the end: %q, %v", rest, err)
					}
				}
				if b, err := os.ReadFile(filepath.Join(dir, "new")); err != nil || string(b) != "0123456789" {
					t.Errorf("the file: %q, %v", b, err)
				}
			})
		}
	}
}

// TestFollow_UploadInSeveralRequestsIsReadAsItArrives has a tus upload that waits for its
// client between two requests.
func TestFollow_UploadInSeveralRequestsIsReadAsItArrives(t *testing.T) {
	for _, end := range []string{"complete", "removed"} {
		t.Run(end, func(t *testing.T) {
			s, _ := liveSite(t, map[string]string{"other": ""}, nil)
			c := browser(t)
			tus := func(method, path, body string, header ...string) *http.Response {
				t.Helper()
				req, err := http.NewRequest(method, path, strings.NewReader(body))
				if err != nil {
					t.Fatal(err)
				}
				req.Header.Set("Tus-Resumable", "1.0.0")
				for i := 0; i < len(header); i += 2 {
					req.Header.Set(header[i], header[i+1])
				}
				resp, err := c.Do(req)
				if err != nil {
					t.Fatal(err)
				}
				resp.Body.Close()
				if resp.StatusCode/100 != 2 {
					t.Fatalf("%s: %s", method, resp.Status)
				}
				return resp
			}
			made := tus("POST", s.url("/up/"), "", "Upload-Length", "10", "Upload-Metadata", "filename bmV3") // "new"
			at, err := made.Location()
			if err != nil {
				t.Fatal(err)
			}
			tus("PATCH", at.String(), "0123", "Upload-Offset", "0", "Content-Type", "application/offset+octet-stream")
			_, body := follow(t, s, "/new?follow")
			expect(t, body, "0123")
			if end == "removed" {
				tus("DELETE", at.String(), "")
				if rest, err := io.ReadAll(body); err == nil {
					t.Errorf("it looks whole, with %q at its end", rest)
				}
				return
			}
			tus("PATCH", at.String(), "456789", "Upload-Offset", "4", "Content-Type", "application/offset+octet-stream")
			if rest, err := io.ReadAll(body); err != nil || string(rest) != "456789" {
				t.Errorf("the end: %q, %v", rest, err)
			}
		})
	}
}

func TestFollow_UploadThatMakesNoProgressIsNotComplete(t *testing.T) {
	s, _ := liveSite(t, nil, func(h *FileServer) { h.FollowWait = 100 * time.Millisecond })
	up, _ := uploading(t, s, "new", -1)
	defer up.CloseWithError(io.ErrClosedPipe)
	io.WriteString(up, "0123")
	eventually(t, func() bool { return len(s.g.Transfers.List()) == 1 && s.g.Transfers.List()[0].Moved == 4 }, "it did not arrive")
	_, body := follow(t, s, "/new?follow")
	if got, err := io.ReadAll(body); err == nil || string(got) != "0123" {
		t.Errorf("%q, %v", got, err)
	}
	c := s.dial(t, 0)
	fmt.Fprint(c, "GET /new?follow HTTP/1.0\r\nHost: x\r\n\r\n")
	if b, err := io.ReadAll(c); err != nil || !strings.HasPrefix(string(b), "HTTP/1.0 505 ") {
		t.Errorf("a client that cannot tell the end of a file from that of the connection: %.60q, %v", b, err)
	}
}
