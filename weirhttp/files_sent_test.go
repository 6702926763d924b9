package weirhttp

import (
	"bufio"
	"bytes"
	"crypto/sha256"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"testing"
)

func TestFiles_TruncatedIsAbortedAndGrownIsCutAtItsLength(t *testing.T) {
	for _, kind := range []string{"parked", "not parked", "tls", "multipart"} {
		t.Run(kind, func(t *testing.T) {
			size := 8 << 20
			body := pattern(size)
			root := tree(t, map[string]string{"shrinks": body, "grows": body})
			var change []func(*http.Server)
			h := http.Handler(quiet(root))
			header := []string{}
			switch kind {
			case "not parked": // this one hides that the connection can be had
				h = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
					quiet(root).ServeHTTP(struct{ http.ResponseWriter }{w}, r)
				})
			case "tls":
				change = append(change, withTLS)
			case "multipart":
				header = []string{"Range", "bytes=0-1000,2000-"}
			}
			s := guarded(t, &Guard{}, h, change...)
			for _, name := range []string{"shrinks", "grows"} {
				req, _ := http.NewRequest("GET", s.url("/"+name), nil)
				if len(header) > 0 {
					req.Header.Set(header[0], header[1])
				}
				resp, err := browser(t).Do(req)
				if err != nil {
					t.Fatal(err)
				}
				defer resp.Body.Close()
				if _, err := io.CopyN(io.Discard, resp.Body, 100_000); err != nil {
					t.Fatal(err)
				}
				path := filepath.Join(root.Name(), name)
				if name == "shrinks" {
					err = os.Truncate(path, 200_000)
				} else {
					var f *os.File
					if f, err = os.OpenFile(path, os.O_APPEND|os.O_WRONLY, 0); err == nil {
						_, err = f.WriteString("more")
						f.Close()
					}
				}
				if err != nil {
					t.Fatal(err)
				}
				n, err := io.Copy(io.Discard, resp.Body)
				if name == "shrinks" && err == nil {
					t.Errorf("a truncated file looks whole: %d bytes", n)
				}
				if name == "grows" && (err != nil || n != resp.ContentLength-100_000) {
					t.Errorf("a file that grew: %d bytes of %d, %v", n+100_000, resp.ContentLength, err)
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
