package main

import (
	"bytes"
	"context"
	"crypto/sha256"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/weir-go/weir/report"
)

const limit = 4 << 20

// start takes uploads on loopback into a new folder. The reports of the uploads
// arrive in the channel.
func start(t *testing.T, stall time.Duration) (server *httptest.Server, dir string, done <-chan report.Report) {
	t.Helper()
	reports := make(chan report.Report, 20)
	in := &inbox{dir: t.TempDir(), limit: limit, stall: stall, done: func(r report.Report) { reports <- r }}
	server = httptest.NewServer(in.handler())
	t.Cleanup(server.Close)
	return server, in.dir, reports
}

func post(t *testing.T, server *httptest.Server, body io.Reader) (*http.Response, string) {
	t.Helper()
	res, err := http.Post(server.URL+"/upload", "application/octet-stream", body)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	page, err := io.ReadAll(res.Body)
	if err != nil {
		t.Fatal(err)
	}
	return res, string(page)
}

func mustBeEmpty(t *testing.T, dir string) {
	t.Helper()
	files, err := os.ReadDir(dir)
	if err != nil || len(files) != 0 {
		t.Errorf("%d files are left: %v", len(files), err)
	}
}

func TestUpload_EachHasItsOwnFile(t *testing.T) {
	server, dir, _ := start(t, time.Minute)
	var uploads sync.WaitGroup
	for i := range 8 {
		uploads.Go(func() {
			content := bytes.Repeat([]byte{byte(i)}, 1<<20+i)
			res, page := post(t, server, bytes.NewReader(content))
			if res.StatusCode != http.StatusCreated || !strings.Contains(page, fmt.Sprintf("%x", sha256.Sum256(content))) {
				t.Errorf("status %d, %q", res.StatusCode, page)
			}
			got, err := os.ReadFile(filepath.Join(dir, res.Header.Get("Location")))
			if err != nil || !bytes.Equal(got, content) {
				t.Errorf("the file has %d bytes of %d: %v", len(got), len(content), err)
			}
		})
	}
	uploads.Wait()
	if files, _ := os.ReadDir(dir); len(files) != 8 {
		t.Errorf("%d files, want 8", len(files))
	}
}

func TestUpload_TooLargeIsRefusedAnnouncedOrNot(t *testing.T) {
	server, dir, done := start(t, time.Minute)
	if res, _ := post(t, server, bytes.NewReader(make([]byte, limit+1))); res.StatusCode != 413 {
		t.Errorf("announced: status %d", res.StatusCode)
	}
	if len(done) != 0 {
		t.Error("an announced length was read all the same")
	}
	if res, _ := post(t, server, io.LimitReader(zeros{}, limit+1)); res.StatusCode != 413 {
		t.Errorf("not announced: status %d", res.StatusCode)
	}
	mustBeEmpty(t, dir)
	if res, _ := post(t, server, io.LimitReader(zeros{}, limit)); res.StatusCode != 201 {
		t.Errorf("exactly the limit: status %d", res.StatusCode)
	}
}

type zeros struct{}

func (zeros) Read(p []byte) (int, error) { clear(p); return len(p), nil }

// begin sends the head of an upload of n bytes and the first thousand of them.
func begin(t *testing.T, server *httptest.Server, n int) net.Conn {
	t.Helper()
	conn, err := net.Dial("tcp", server.Listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	fmt.Fprintf(conn, "POST /upload HTTP/1.1\r\nHost: localhost\r\nContent-Length: %d\r\n\r\n", n)
	if _, err := conn.Write(make([]byte, 1000)); err != nil {
		t.Fatal(err)
	}
	return conn
}

func TestUpload_LeavesNothingWhenBrokenOff(t *testing.T) {
	server, dir, done := start(t, time.Minute)
	begin(t, server, 1<<20).Close()
	if r := <-done; r.Err == nil {
		t.Error("half an upload was taken for a whole one")
	}
	mustBeEmpty(t, dir)
}

func TestUpload_ClientThatSendsNothingIsLetGo(t *testing.T) {
	server, dir, done := start(t, 50*time.Millisecond)
	conn := begin(t, server, 1<<20)
	if r := <-done; r.Err == nil {
		t.Error("half an upload was taken for a whole one")
	}
	answer, _ := io.ReadAll(conn)
	if !strings.HasPrefix(string(answer), "HTTP/1.1 408 ") {
		t.Errorf("the answer is %q", answer)
	}
	mustBeEmpty(t, dir)
}

func TestUpload_OtherRequestsAreRefused(t *testing.T) {
	server, dir, _ := start(t, time.Minute)
	res, err := http.Get(server.URL + "/upload")
	if err != nil || res.StatusCode != 405 {
		t.Errorf("GET: %v, %v", res, err)
	}
	res, err = http.Post(server.URL+"/elsewhere", "", strings.NewReader("x"))
	if err != nil || res.StatusCode != 404 {
		t.Errorf("another path: %v, %v", res, err)
	}
	mustBeEmpty(t, dir)
}

func TestUpload_MissingFolderIsAnErrorOfTheServer(t *testing.T) {
	server, dir, _ := start(t, time.Minute)
	if err := os.Remove(dir); err != nil {
		t.Fatal(err)
	}
	res, page := post(t, server, strings.NewReader("content"))
	if res.StatusCode != 500 || strings.Contains(page, dir) {
		t.Errorf("status %d, %q", res.StatusCode, page)
	}
}

func TestServe_EndsWithItsContext(t *testing.T) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	in := &inbox{dir: t.TempDir(), limit: limit, stall: time.Minute, done: func(report.Report) {}}
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- serve(ctx, listener, in.handler()) }()
	res, err := http.Post("http://"+listener.Addr().String()+"/upload", "", strings.NewReader("x"))
	if err != nil || res.StatusCode != 201 {
		t.Errorf("%v, %v", res, err)
	}
	cancel()
	if err := <-ended; err != nil {
		t.Error(err)
	}
}
