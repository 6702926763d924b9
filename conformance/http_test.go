package conformance

import (
	"bufio"
	"bytes"
	"context"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/iotest"
	"time"

	"github.com/weir-go/weir"
)

// answer sends a stream as the body of an answer: a failure before the first
// byte is a 500, one after it aborts the connection so that the client sees it.
func answer(w http.ResponseWriter, r *http.Request, s weir.Stream[byte]) {
	begun := false
	err := s.To(weir.EachBatch(func(_ context.Context, b []byte) error {
		begun = true
		_, err := w.Write(b)
		return err
	})).Run(r.Context())
	switch {
	case err == nil:
	case !begun:
		http.Error(w, "cannot read the source", http.StatusInternalServerError)
	default:
		panic(http.ErrAbortHandler)
	}
}

// Given a body that fails after 3 KB, then the client sees an error and not a
// complete 200; given one that fails before the first byte, it gets a real 500.
func TestS65_AFailedBodyIsSeenByTheClient(t *testing.T) {
	bodies := map[string]io.Reader{
		"/late":  io.MultiReader(bytes.NewReader(make([]byte, 3<<10)), iotest.ErrReader(errBoom)),
		"/early": iotest.ErrReader(errBoom),
	}
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		answer(w, r, weir.FromReader(bodies[r.URL.Path]))
	}))
	defer srv.Close()
	res, err := http.Get(srv.URL + "/early")
	if err != nil {
		t.Fatal(err)
	}
	res.Body.Close()
	if res.StatusCode != http.StatusInternalServerError {
		t.Error(res.Status)
	}
	res, err = http.Get(srv.URL + "/late")
	if err == nil {
		var n int64
		n, err = io.Copy(io.Discard, res.Body)
		res.Body.Close()
		if n > 3<<10 {
			t.Errorf("%d bytes", n)
		}
	}
	// Whether the failure overtakes the first byte is a matter of luck.
	if err == nil && res.StatusCode == http.StatusOK {
		t.Error("the client saw a complete answer")
	}
}

// Given a client that sends many requests and reads nothing, then the server
// holds no more than the ceiling of one answer, and continues when the client
// reads; the answers arrive complete.
func TestS66_AStalledClientHoldsTheServerBack(t *testing.T) {
	const requests, size = 50, 1 << 20
	var p probe
	srv := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Length", "1048576")
		answer(w, r, weir.Take(source(weir.Reader[byte](&p)), size))
	}))
	srv.Config.ReadHeaderTimeout = 10 * time.Second
	srv.Start()
	defer srv.Close()
	c, err := net.Dial("tcp", strings.TrimPrefix(srv.URL, "http://"))
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	for range requests {
		if _, err := io.WriteString(c, "GET / HTTP/1.1\r\nHost: test\r\n\r\n"); err != nil {
			t.Fatal(err)
		}
	}
	// Wait until the server stands still: the kernel's buffers are full.
	var before int64 = -1
	for now := p.read.Load(); now != before; now = p.read.Load() {
		before = now
		time.Sleep(100 * time.Millisecond)
	}
	if held := p.read.Load(); held >= requests*size/2 {
		t.Errorf("the server has read %d bytes for a client that reads nothing", held)
	}
	r := bufio.NewReader(c)
	for i := range requests {
		res, err := http.ReadResponse(r, nil)
		if err != nil {
			t.Fatal(i, err)
		}
		n, err := io.Copy(io.Discard, res.Body)
		if n != size || err != nil {
			t.Fatal(i, n, err)
		}
	}
}
