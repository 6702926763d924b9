package weirhttp

import (
	"bytes"
	"compress/zlib"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/zstd"

	"github.com/weir-go/weir"
	"github.com/weir-go/weir/compress"
)

// bodyResult is what became of a flow that began at a Body.
type bodyResult struct {
	got string
	err error
}

// bodyServer runs each request's body into sink, or into memory if it is nil.
func bodyServer(t *testing.T, o BodyOptions, sink func(ctx context.Context, p []byte) error) (*httptest.Server, <-chan bodyResult) {
	results := make(chan bodyResult, 10)
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		var got bytes.Buffer
		err := Body(w, r, o).To(weir.EachBatch(func(ctx context.Context, p []byte) error {
			got.Write(p)
			if sink == nil {
				return nil
			}
			return sink(ctx, p)
		})).Run(context.WithoutCancel(r.Context()))
		if err != nil {
			w.WriteHeader(BodyStatus(err))
		}
		results <- bodyResult{got.String(), err}
	}))
	t.Cleanup(s.Close)
	return s, results
}

func send(t *testing.T, s *httptest.Server, text string) *net.TCPConn {
	t.Helper()
	conn, err := net.Dial("tcp", s.Listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	if _, err := io.WriteString(conn, text); err != nil {
		t.Fatal(err)
	}
	return conn.(*net.TCPConn)
}

func TestBody_IsReadWhole(t *testing.T) {
	s, results := bodyServer(t, BodyOptions{MaxSize: 1 << 20, Stall: time.Minute}, nil)
	for _, body := range []io.Reader{strings.NewReader(content(1 << 20)), unsized(content(1 << 20)), unsized("")} {
		res, err := http.Post(s.URL, "", body)
		if err != nil || res.StatusCode != 200 {
			t.Fatal(res, err)
		}
		if r := <-results; r.err != nil || len(r.got) != 1<<20 && r.got != "" {
			t.Errorf("%d bytes, %v", len(r.got), r.err)
		}
	}
}

func TestBody_ClientThatLeavesIsNoticedWhileItsBodyIsUnread(t *testing.T) {
	atOnce(t)
	first := make(chan struct{})
	s, results := bodyServer(t, BodyOptions{}, func(ctx context.Context, p []byte) error {
		close(first)
		<-ctx.Done() // busy with the first bytes; nothing reads the others
		return context.Cause(ctx)
	})
	conn := send(t, s, "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 1000000\r\n\r\n0123456789")
	<-first
	io.WriteString(conn, strings.Repeat("x", 10000))
	conn.Close()
	r := <-results
	if !errors.Is(r.err, io.ErrUnexpectedEOF) || errors.Is(r.err, context.Canceled) || BodyStatus(r.err) != 400 {
		t.Errorf("%v", r.err)
	}
}

func TestBody_ErrorsAreTheRealOnes(t *testing.T) {
	atOnce(t)
	s, results := bodyServer(t, BodyOptions{MaxSize: 100, Stall: time.Second}, nil)
	head := "POST / HTTP/1.1\r\nHost: x\r\n"
	var tooLarge *http.MaxBytesError
	for _, c := range []struct {
		text   string
		is     func(error) bool
		status int
	}{
		{head + "Content-Length: 50\r\n\r\n01234", func(err error) bool { return errors.Is(err, os.ErrDeadlineExceeded) }, 408},
		{head + "Content-Length: 101\r\n\r\n01234", func(err error) bool { return errors.As(err, &tooLarge) && tooLarge.Limit == 100 }, 413},
		{head + "Transfer-Encoding: chunked\r\n\r\n65\r\n" + strings.Repeat("x", 0x65), func(err error) bool { return errors.As(err, &tooLarge) }, 413},
		{head + "Transfer-Encoding: chunked\r\n\r\nxx\r\n", func(err error) bool { return err != nil }, 400},
	} {
		conn := send(t, s, c.text)
		r := <-results
		if !c.is(r.err) || errors.Is(r.err, context.Canceled) || BodyStatus(r.err) != c.status || len(r.got) > 100 {
			t.Errorf("%q: %v, status %d, %d bytes", c.text, r.err, BodyStatus(r.err), len(r.got))
		}
		conn.Close()
	}
}

func TestBody_FlowThatFailsDoesNotWaitForItsClient(t *testing.T) {
	broken := errors.New("broken")
	s, results := bodyServer(t, BodyOptions{}, func(context.Context, []byte) error { return broken })
	send(t, s, "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 50\r\n\r\n01234")
	if r := <-results; !errors.Is(r.err, broken) || BodyStatus(r.err) != 500 {
		t.Errorf("%v", r.err)
	}
}

func TestBody_IsDecodedWithinItsLimits(t *testing.T) {
	zip := func(s string) string {
		var b bytes.Buffer
		w := gzip.NewWriter(&b)
		io.WriteString(w, s)
		w.Close()
		return b.String()
	}
	zst := func(s string) string {
		e, _ := zstd.NewWriter(nil)
		defer e.Close()
		return string(e.EncodeAll([]byte(s), nil))
	}
	zlibbed := func(s string) string {
		var b bytes.Buffer
		w := zlib.NewWriter(&b)
		io.WriteString(w, s)
		w.Close()
		return b.String()
	}
	text := content(100_000)
	s, results := bodyServer(t, BodyOptions{Decode: true, MaxOutput: 8 << 20}, nil)
	for _, c := range []struct {
		name, encoding, body, want string
		err                        error
		status                     int
	}{
		{"plain", "", text, text, nil, 200},
		{"identity", "identity", text, text, nil, 200},
		{"gzip", "gzip", zip(text), text, nil, 200},
		{"zstd", "zstd", zst(text), text, nil, 200},
		{"both", "gzip, zstd", zst(zip(text)), text, nil, 200},
		{"unknown", "br", text, "", ErrEncoding, 415},
		{"many", "gzip, gzip, gzip", text, "", ErrEncoding, 415},
		{"bomb", "gzip", zip(strings.Repeat("\x00", 20<<20)), "", compress.ErrTooLarge, 413},
		{"cut", "gzip", zip(text)[:1000], "", io.ErrUnexpectedEOF, 400},
		{"corrupt", "zstd", text, "", nil, 400},
		{"zeros behind gzip", "gzip", zip(text) + "\x00\x00", text, nil, 200},
		{"more behind gzip", "gzip", zip(text) + "more", text, compress.ErrTrailing, 400},
		{"more behind zlib", "deflate", zlibbed(text) + "more", text, compress.ErrTrailing, 400},
		{"more behind zstd", "zstd", zst(text) + "more", text, compress.ErrTrailing, 400},
		{"more behind the inner one", "gzip, zstd", zst(zip(text) + "more"), text, compress.ErrTrailing, 400},
		{"a large window", "zstd", "\x28\xb5\x2f\xfd\x00\xa8\x01\x00\x00", "", compress.ErrWindow, 413},
	} {
		req, _ := http.NewRequest("POST", s.URL, strings.NewReader(c.body))
		if c.encoding != "" {
			req.Header.Set("Content-Encoding", c.encoding)
		}
		res, err := http.DefaultClient.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		res.Body.Close()
		r := <-results
		if res.StatusCode != c.status || c.want != "" && r.got != c.want || c.err != nil && !errors.Is(r.err, c.err) || len(r.got) > 8<<20 {
			t.Errorf("%s: status %d, %d bytes, %v", c.name, res.StatusCode, len(r.got), r.err)
		}
	}
}

func TestBody_OverHTTP2(t *testing.T) {
	results := make(chan error, 1)
	s := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		n, err := weir.Count(context.WithoutCancel(r.Context()), Body(w, r, BodyOptions{Stall: time.Minute}))
		fmt.Fprint(w, r.Proto, " ", n)
		results <- err
	}))
	s.EnableHTTP2 = true
	s.StartTLS()
	defer s.Close()
	res, err := s.Client().Post(s.URL, "", unsized(content(3<<20)))
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	text, _ := io.ReadAll(res.Body)
	if err := <-results; err != nil || string(text) != "HTTP/2.0 3145728" {
		t.Errorf("%q, %v", text, err)
	}
}

// deadlines is a ResponseWriter that counts how often a deadline was set.
type deadlines struct {
	http.ResponseWriter
	n int
}

func (d *deadlines) SetReadDeadline(time.Time) error {
	d.n++
	return nil
}

func TestRequestBody_AnInterruptedRequestIsTheLastOfItsConnection(t *testing.T) {
	for _, late := range []bool{false, true} {
		w := &deadlines{ResponseWriter: httptest.NewRecorder()}
		r, b := withBody(w, httptest.NewRequest("PATCH", "/", http.NoBody), time.Minute)
		if late && isLast(r) {
			t.Error("a request without a body ends its connection")
		}
		b.interrupt()
		// Before the answer the read ends, and then the connection must end too. After it,
		// the connection may serve another request already.
		if got := isLast(r); got == late || w.n != map[bool]int{false: 1, true: 0}[late] {
			t.Errorf("late %v: last %v, %d deadlines", late, got, w.n)
		}
	}
}
