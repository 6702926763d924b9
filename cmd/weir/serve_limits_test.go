package main

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"
)

// said returns what the server has written so far.
func (s *served) said() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return strings.Join(s.lines, "\n")
}

// hears waits until the server has written a text.
func (s *served) hears(t *testing.T, text string) {
	t.Helper()
	for end := time.Now().Add(time.Minute); !strings.Contains(s.said(), text); time.Sleep(10 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("the server never said %s, but\n%s", text, s.said())
		}
	}
}

// caller is a client that does only what it is told to.
type caller struct {
	net.Conn
	in *bufio.Reader
}

// call dials the server. The caller's own system holds little for it.
func (s *served) call(t *testing.T) *caller {
	t.Helper()
	c, err := net.Dial("tcp", s.addr)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	_ = c.(*net.TCPConn).SetReadBuffer(8 << 10)
	return &caller{c, bufio.NewReaderSize(c, 16)}
}

// get asks for a path, and reads the header of the answer.
func (c *caller) get(t *testing.T, path string) *http.Response {
	t.Helper()
	fmt.Fprintf(c, "GET %s HTTP/1.1\r\nHost: localhost\r\n\r\n", path) // who was refused has an answer all the same
	r, err := http.ReadResponse(c.in, nil)
	if err != nil {
		t.Fatalf("%s: %v", path, err)
	}
	return r
}

// got asks for a path, and returns the status and the whole answer.
func (c *caller) got(t *testing.T, path string) (status int, body string) {
	t.Helper()
	r := c.get(t, path)
	b, err := io.ReadAll(r.Body)
	if err != nil {
		t.Fatalf("%s: %v", path, err)
	}
	return r.StatusCode, string(b)
}

func TestServe_RateIsThatOfAllConnectionsTogether(t *testing.T) {
	t.Parallel()
	const rate, clients = 1 << 20, 4
	content := noise(rate / clients)
	dir := t.TempDir()
	put(t, content, dir, "a.bin")
	s := startServe(t, dir, "--rate", "1MiB/s")
	begun := time.Now()
	var all sync.WaitGroup
	for range clients {
		all.Go(func() {
			answer, err := http.Get(s.url + "a.bin")
			if err != nil {
				t.Error(err)
				return
			}
			defer answer.Body.Close()
			if b, err := io.ReadAll(answer.Body); err != nil || string(b) != string(content) {
				t.Errorf("got %d bytes, %v", len(b), err)
			}
		})
	}
	all.Wait()
	// A second's worth, but for what a limiter lets pass at once.
	if took := time.Since(begun); took < 900*time.Millisecond {
		t.Errorf("%d bytes took %v", rate, took)
	}
}

func TestServe_ClientThatTakesNothingForTheStallIsCut(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	put(t, noise(16<<20), dir, "a.bin")
	s := startServe(t, dir, "--stall", "300ms")
	answer := s.call(t).get(t, "/a.bin")
	s.hears(t, `"client disconnected"`)
	if n, err := io.Copy(io.Discard, answer.Body); err == nil {
		t.Errorf("%d bytes are the whole to the client", n)
	}
}

func TestServe_ClientBelowTheMinimumRateIsCut(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	put(t, noise(16<<20), dir, "a.bin")
	s := startServe(t, dir, "--stall", "500ms", "--min-rate", "8MiB/s")
	answer := s.call(t).get(t, "/a.bin")
	var err error
	for sum := 0; err == nil && sum < 4<<20; sum += 8 << 10 { // without a pause that is a stall
		_, err = io.CopyN(io.Discard, answer.Body, 8<<10)
		time.Sleep(5 * time.Millisecond)
	}
	if err == nil {
		t.Error("it was not cut")
	}
	s.hears(t, `"client disconnected"`)
	if !strings.Contains(s.said(), fmt.Sprintf(`"min_rate":%d`, 8<<20)) {
		t.Errorf("it was cut for something else:\n%s", s.said())
	}
}

func TestServe_MoreConnectionsThanTheMostAreRefused(t *testing.T) {
	t.Parallel()
	s := startServe(t, t.TempDir(), "--max-conns", "2")
	one, two := s.call(t), s.call(t)
	for _, c := range []*caller{one, two} {
		if status, _ := c.got(t, "/healthz"); status != 200 {
			t.Fatal(status)
		}
	}
	if status, text := s.call(t).got(t, "/healthz"); status != 503 || text != "too many connections\n" {
		t.Errorf("the third got %d, %q", status, text)
	}
	s.hears(t, `"reason":"too many connections"`)
	if status, _ := two.got(t, "/healthz"); status != 200 {
		t.Errorf("who was there got %d", status)
	}
	one.Close()
	for end := time.Now().Add(time.Minute); ; time.Sleep(10 * time.Millisecond) {
		if status, _ := s.call(t).got(t, "/healthz"); status == 200 {
			break
		}
		if time.Now().After(end) {
			t.Fatal("the place of one that has gone stays taken")
		}
	}
}

func TestServe_MoreConnectionsOfOneAddressThanTheMostAreRefused(t *testing.T) {
	t.Parallel()
	s := startServe(t, t.TempDir(), "--max-conns-per-addr", "1")
	if status, _ := s.call(t).got(t, "/healthz"); status != 200 {
		t.Fatal(status)
	}
	if status, _ := s.call(t).got(t, "/healthz"); status != 503 {
		t.Errorf("the second got %d", status)
	}
	s.hears(t, `"reason":"too many connections from one address"`)
	d := net.Dialer{LocalAddr: &net.TCPAddr{IP: net.IPv4(127, 0, 0, 2)}}
	other, err := d.Dial("tcp", s.addr)
	if err != nil {
		t.Skip("this machine has no second address: ", err)
	}
	defer other.Close()
	if status, _ := (&caller{other, bufio.NewReader(other)}).got(t, "/healthz"); status != 200 {
		t.Errorf("another address got %d", status)
	}
}

func TestServe_DownloadWithoutMemoryIsToldToComeAgain(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	put(t, noise(16<<20), dir, "a.bin")
	put(t, []byte("small"), dir, "small.txt")
	s := startServe(t, dir, "--memory", "2MiB", "--queue", "2s") // of one archive
	s.hears(t, "memory    2 MiB for all transfers (when full, new transfers wait up to 2s, then get 503)")
	first := s.call(t)
	if r := first.get(t, "/?archive=tar.gz"); r.StatusCode != 200 {
		t.Fatal(r.Status)
	}
	begun := time.Now()
	r := s.call(t).get(t, "/?archive=tar.gz")
	if r.StatusCode != 503 || r.Header.Get("Retry-After") != "2" {
		t.Errorf("the second got %s, and is told to come again in %q s", r.Status, r.Header.Get("Retry-After"))
	}
	if took := time.Since(begun); took < 2*time.Second {
		t.Errorf("it was refused after %v", took)
	}
	if status, text := s.call(t).got(t, "/small.txt"); status != 200 || text != "small" {
		t.Errorf("what needs none got %d, %q", status, text)
	}
	first.Close()
	for end := time.Now().Add(time.Minute); ; {
		if r := s.call(t).get(t, "/?archive=tar.gz"); r.StatusCode == 200 {
			break
		}
		if time.Now().After(end) {
			t.Fatal("the memory of a download that has gone stays taken")
		}
	}
}

func TestServe_RefusedFormIsAnsweredWithAWholePage(t *testing.T) {
	t.Parallel()
	in := t.TempDir()
	s := startServe(t, t.TempDir(), "--uploads", in, "--max-size", "1MiB")
	body := "--B\r\nContent-Disposition: form-data; name=\"file\"; filename=\"a\"\r\n\r\n" + string(noise(2<<20)) + "\r\n--B--\r\n"
	c := s.call(t)
	fmt.Fprintf(c, "POST /_upload/ HTTP/1.1\r\nHost: localhost\r\nAccept: text/html\r\nContent-Type: multipart/form-data; boundary=B\r\nContent-Length: %d\r\n\r\n%s", len(body), body)
	r, err := http.ReadResponse(c.in, nil)
	if err != nil {
		t.Fatal(err)
	}
	page, err := io.ReadAll(r.Body)
	if r.StatusCode != 413 || err != nil || !strings.Contains(string(page), "Not uploaded") || !strings.HasSuffix(strings.TrimSpace(string(page)), "</html>") {
		t.Errorf("%s, %v:\n%s", r.Status, err, page)
	}
}
