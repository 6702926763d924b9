package main

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/weir-go/weir"
	"github.com/weir-go/weir/report"
)

// start serves the file called path on loopback. The reports of its transfers
// arrive in the channel.
func start(t *testing.T, path string, stall time.Duration) (*httptest.Server, <-chan report.Report) {
	t.Helper()
	done := make(chan report.Report, 10)
	s := &sender{path: path, budget: weir.NewBudget(1 << 20), stall: stall, done: func(r report.Report) { done <- r }}
	server := httptest.NewServer(s)
	t.Cleanup(server.Close)
	return server, done
}

func file(t *testing.T, size int64) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "large-file.json")
	if err := os.WriteFile(path, []byte("[1, 2, 3]\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Truncate(path, size); err != nil {
		t.Fatal(err)
	}
	return path
}

func TestRespond_FileArrives(t *testing.T) {
	path := file(t, 5<<20)
	server, done := start(t, path, time.Minute)
	res, err := http.Get(server.URL)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	got, err := io.ReadAll(res.Body)
	want, _ := os.ReadFile(path)
	if err != nil || !bytes.Equal(got, want) {
		t.Errorf("got %d bytes of %d, %v", len(got), len(want), err)
	}
	if res.StatusCode != 200 || res.ContentLength != int64(len(want)) || res.Header.Get("Content-Type") != "application/json" {
		t.Errorf("status %d, length %d, headers %v", res.StatusCode, res.ContentLength, res.Header)
	}
	if r := <-done; r.Err != nil || r.Ceiling > 80<<10 {
		t.Errorf("error %v, ceiling %d", r.Err, r.Ceiling)
	}
}

func TestRespond_FailureBeforeTheFirstByteHasAStatus(t *testing.T) {
	dir := t.TempDir()
	for path, want := range map[string]int{filepath.Join(dir, "absent"): 404, dir: 500} {
		server, _ := start(t, path, time.Minute)
		for _, get := range []func(string) (*http.Response, error){http.Get, http.Head} {
			res, err := get(server.URL)
			if err != nil {
				t.Fatal(err)
			}
			page, err := io.ReadAll(res.Body)
			res.Body.Close()
			if res.StatusCode != want || err != nil || bytes.Contains(page, []byte(dir)) {
				t.Errorf("%s: status %d, %q, %v", path, res.StatusCode, page, err)
			}
		}
	}
}

func TestServe_AnswersHeadAndRefusesOtherMethods(t *testing.T) {
	server, _ := start(t, file(t, 100), time.Minute)
	res, err := http.Head(server.URL)
	if err != nil || res.StatusCode != 200 || res.ContentLength != 100 {
		t.Errorf("HEAD: %v, %v", res, err)
	}
	res, err = http.Post(server.URL, "text/plain", nil)
	if err != nil || res.StatusCode != 405 {
		t.Errorf("POST: %v, %v", res, err)
	}
}

var errDisk = errors.New("disk on fire")

func TestRespond_FailureAfterTheFirstByteBreaksTheBody(t *testing.T) {
	s := &sender{budget: weir.NewBudget(1 << 20), stall: time.Minute, done: func(report.Report) {}}
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		s.respond(w, r, weir.Generate("disk", func(_ context.Context, emit func([]byte) error) error {
			if err := emit(make([]byte, 1<<20)); err != nil {
				return err
			}
			return errDisk
		}))
	}))
	defer server.Close()
	res, err := http.Get(server.URL)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	got, err := io.ReadAll(res.Body)
	if err == nil {
		t.Errorf("the client takes %d bytes for the whole", len(got))
	}
	if bytes.Contains(got, []byte("Error")) {
		t.Error("an error page was appended to the body")
	}
}

// connect asks for the file and reads the head of the response, and no more.
func connect(t *testing.T, server *httptest.Server) net.Conn {
	t.Helper()
	conn, err := net.Dial("tcp", server.Listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	fmt.Fprintf(conn, "GET / HTTP/1.1\r\nHost: localhost\r\n\r\n")
	res, err := http.ReadResponse(bufio.NewReaderSize(conn, 16), nil)
	if err != nil || res.StatusCode != 200 {
		t.Fatalf("%v, %v", res, err)
	}
	return conn
}

const large = 256 << 20 // far more than the kernel holds for a connection

func read(r report.Report) int64 { return r.Stages[0].Out }

func TestRespond_ReadingStopsWhenTheClientLeaves(t *testing.T) {
	server, done := start(t, file(t, large), time.Minute)
	connect(t, server).Close()
	r := <-done
	if r.Err == nil || read(r) > large/2 {
		t.Errorf("%d bytes were read for a client that took none, error %v", read(r), r.Err)
	}
	if r.Peak > 64<<10 {
		t.Errorf("%d bytes waited", r.Peak)
	}
}

func TestRespond_ClientThatTakesNothingIsLetGo(t *testing.T) {
	server, done := start(t, file(t, large), 50*time.Millisecond)
	conn := connect(t, server)
	r := <-done
	// net/http ends the request's context when a write fails, and may be first.
	if !errors.Is(r.Err, os.ErrDeadlineExceeded) && !errors.Is(r.Err, context.Canceled) || read(r) > large/2 {
		t.Errorf("%d bytes were read, error %v", read(r), r.Err)
	}
	if n, _ := io.Copy(io.Discard, conn); n >= large {
		t.Error("the client got the whole file")
	}
}

func TestServe_EndsWithItsContext(t *testing.T) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s := &sender{path: file(t, 10), budget: weir.NewBudget(1 << 20), stall: time.Minute, done: func(report.Report) {}}
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- serve(ctx, listener, s) }()
	res, err := http.Get("http://" + listener.Addr().String())
	if err != nil || res.StatusCode != 200 {
		t.Errorf("%v, %v", res, err)
	}
	cancel()
	if err := <-ended; err != nil {
		t.Error(err)
	}
}
