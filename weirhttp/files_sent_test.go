package weirhttp

import (
	"bufio"
	"bytes"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// sentOver are the ways in which the bytes of a file reach a client. Each wraps a handler
// and says where it is served.
var sentOver = map[string]func(t *testing.T, h http.Handler) (*http.Client, string){
	"parked": func(t *testing.T, h http.Handler) (*http.Client, string) {
		return browser(t), guarded(t, new(Guard), h).url("")
	},
	"paced": func(t *testing.T, h http.Handler) (*http.Client, string) {
		return browser(t), guarded(t, &Guard{Rate: 4 << 30, ConnRate: 4 << 30}, h).url("")
	},
	"not parked": func(t *testing.T, h http.Handler) (*http.Client, string) { // this one hides that the connection can be had
		return browser(t), guarded(t, new(Guard), http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			h.ServeHTTP(struct{ http.ResponseWriter }{w}, r)
		})).url("")
	},
	"TLS": func(t *testing.T, h http.Handler) (*http.Client, string) {
		c := browser(t)
		c.Transport.(*http.Transport).ForceAttemptHTTP2 = false
		return c, guarded(t, new(Guard), h, withTLS).url("")
	},
	"HTTP/2": func(t *testing.T, h http.Handler) (*http.Client, string) {
		return browser(t), guarded(t, new(Guard), h, withTLS).url("")
	},
	"no guard": func(t *testing.T, h http.Handler) (*http.Client, string) {
		s := httptest.NewUnstartedServer(h)
		s.Config.ErrorLog = slog.NewLogLogger(slog.DiscardHandler, 0)
		s.Start()
		t.Cleanup(s.Close)
		return browser(t), s.URL
	},
}

// rewrite gives a file the same bytes and another time, as a program does that writes
// over it.
func rewrite(t *testing.T, path string) {
	t.Helper()
	f, err := os.OpenFile(path, os.O_WRONLY, 0)
	if err == nil {
		_, err = f.WriteAt([]byte("x"), 0)
		f.Close()
	}
	if err == nil {
		err = os.Chtimes(path, time.Now(), time.Now().Add(time.Hour))
	}
	if err != nil {
		t.Fatal(err)
	}
}

// lengthen appends to a file.
func lengthen(t *testing.T, path string) {
	t.Helper()
	f, err := os.OpenFile(path, os.O_APPEND|os.O_WRONLY, 0)
	if err == nil {
		_, err = f.WriteString("more")
		f.Close()
	}
	if err != nil {
		t.Fatal(err)
	}
}

// TestFiles_ChangedWhileSentBreaksTheConnection has files that change when a part of them
// has arrived.
func TestFiles_ChangedWhileSentBreaksTheConnection(t *testing.T) {
	for kind, serve := range sentOver {
		t.Run(kind, func(t *testing.T) {
			body := pattern(8 << 20)
			root := tree(t, map[string]string{"shrinks": body, "changes": body, "grows": body})
			c, url := serve(t, quiet(root))
			for _, name := range []string{"shrinks", "changes", "grows"} {
				for _, ranges := range []string{"", "bytes=0-1000,2000-"} {
					req, _ := http.NewRequest("GET", url+"/"+name, nil)
					if ranges != "" {
						if name == "shrinks" {
							continue // it has no such range any more
						}
						req.Header.Set("Range", ranges)
					}
					resp, err := c.Do(req)
					if err != nil {
						t.Fatal(err)
					}
					defer resp.Body.Close()
					if _, err := io.CopyN(io.Discard, resp.Body, 100_000); err != nil {
						t.Fatal(err)
					}
					path := filepath.Join(root.Name(), name)
					switch name {
					case "shrinks":
						if err := os.Truncate(path, 200_000); err != nil {
							t.Fatal(err)
						}
					case "changes":
						rewrite(t, path)
					case "grows":
						lengthen(t, path)
					}
					n, err := io.Copy(io.Discard, resp.Body)
					if name == "grows" {
						if err != nil || n != resp.ContentLength-100_000 {
							t.Errorf("a file that grew: %d bytes of %d, %v", n+100_000, resp.ContentLength, err)
						}
					} else if err == nil {
						t.Errorf("%s, %q: it looks whole: %d bytes", name, ranges, n)
					}
				}
			}
		})
	}
}

// TestFiles_ChangedSinceItWasOpenedIsNotSentWhole has files of every size that change
// before their last bytes can leave.
func TestFiles_ChangedSinceItWasOpenedIsNotSentWhole(t *testing.T) {
	sizes := map[string]int{"small": 10_000, "edge": heldBack, "beyond": heldBack + 1, "large": 1 << 20}
	for kind, serve := range sentOver {
		t.Run(kind, func(t *testing.T) {
			files := map[string]string{}
			for size, n := range sizes {
				for _, what := range []string{"shrink", "change", "grow"} {
					files[what+"/"+size] = pattern(n)
				}
			}
			root := tree(t, files)
			v := quiet(root).view()
			v.log = slog.New(slog.DiscardHandler)
			ended := make(chan error, 1)
			c, url := serve(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				name := strings.TrimPrefix(r.URL.Path, "/")
				f, err := v.openFile(name, plainConn(r) != nil)
				if err != nil {
					t.Error(err)
					return
				}
				path := filepath.Join(root.Name(), name)
				switch what, _, _ := strings.Cut(name, "/"); what {
				case "shrink":
					if err := os.Truncate(path, f.Size-1); err != nil {
						t.Error(err)
					}
				case "change":
					rewrite(t, path)
				case "grow":
					lengthen(t, path)
				}
				d := &described{sliceable: oneFile{f}, name: name, size: f.Size, tag: f.Tag(), modified: f.Modified, kind: "text/plain", log: v.log}
				d.answer(w, r.WithContext(WithDone(r.Context(), func(_ Transfer, err error) { ended <- err })))
			}))
			c.Transport.(*http.Transport).DisableKeepAlives = true // or the client would ask again on its own
			for name, body := range files {
				resp, err := c.Get(url + "/" + name)
				var got []byte
				if err == nil {
					got, err = io.ReadAll(resp.Body)
					resp.Body.Close()
				}
				if grew := strings.HasPrefix(name, "grow/"); grew != (err == nil) || grew && string(got) != body {
					t.Errorf("%s: %d bytes, %v", name, len(got), err)
				}
				shrank, grew := strings.HasPrefix(name, "shrink/"), strings.HasPrefix(name, "grow/")
				if err := <-ended; errors.Is(err, ErrChanged) == grew || errors.Is(err, ErrTruncated) != shrank {
					t.Errorf("%s: the transfer ended with %v", name, err)
				}
			}
		})
	}
}

func TestFiles_ConnectionGoesOnAfterAParkedDownload(t *testing.T) {
	body := pattern(4 << 20)
	root := tree(t, map[string]string{"big": body, "small": "small"})
	s := guarded(t, &Guard{}, quiet(root))
	c := s.dial(t, 0)
	br := bufio.NewReader(c)
	// All at once: what the server has read already must not be lost.
	for _, p := range []string{"big", "small", "big", "big", "small", "absent"} {
		fmt.Fprintf(c, "GET /%s HTTP/1.1\r\nHost: x\r\n\r\n", p)
	}
	get := func(want string, status int) {
		t.Helper()
		resp, err := http.ReadResponse(br, nil)
		if err != nil {
			t.Fatal(err)
		}
		b, err := io.ReadAll(resp.Body)
		if err != nil || resp.StatusCode != status || want != "" && string(b) != want {
			t.Fatalf("%s, %d bytes, %v", resp.Status, len(b), err)
		}
	}
	for _, want := range []string{body, "small", body, body, "small"} {
		get(want, 200)
	}
	get("", 404)
	for range 3 { // one after the other
		fmt.Fprint(c, "GET /big HTTP/1.1\r\nHost: x\r\n\r\n")
		get(body, 200)
	}
	fmt.Fprint(c, "GET /big HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
	get(body, 200)
	if _, err := br.ReadByte(); err != io.EOF {
		t.Errorf("after the last answer: %v", err)
	}
	fmt10 := s.dial(t, 0)
	fmt.Fprint(fmt10, "GET /big HTTP/1.0\r\n\r\n")
	b, err := io.ReadAll(fmt10)
	if err != nil || !bytes.HasSuffix(b, []byte(body)) {
		t.Errorf("HTTP/1.0: %d bytes, %v", len(b), err)
	}
}

func TestFiles_ManyClientsOfOneFileShareADescriptor(t *testing.T) {
	if !canPark {
		t.Skip("nothing is parked here")
	}
	body := pattern(1 << 20)
	root := tree(t, map[string]string{"big": body})
	s := guarded(t, &Guard{}, quiet(root))
	before := openFiles()
	const clients = 50
	readers := make([]*http.Response, clients)
	for i := range readers {
		c := s.dial(t, 16<<10)
		readers[i] = ask(t, c, bufio.NewReader(c), "/big")
	}
	eventually(t, func() bool { return s.g.Transfers.Totals().Active == clients }, "not all are on their way")
	// Both ends of the connections are here.
	if n := openFiles() - before; n > 2*clients+2 {
		t.Errorf("%d descriptors for %d clients", n, clients)
	}
	for _, tr := range s.g.Transfers.List() {
		if tr.Size != int64(len(body)) || tr.Name != "big" || tr.Unsent > 32<<10 || tr.State != StateClient {
			t.Errorf("%+v", tr)
		}
	}
	want := sha256.Sum256([]byte(body))
	for _, r := range readers {
		h := sha256.New()
		if _, err := io.Copy(h, r.Body); err != nil || !bytes.Equal(h.Sum(nil), want[:]) {
			t.Fatalf("the file is not what it was: %v", err)
		}
	}
}
