package endpoint_test

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/weir-go/weir"
	"github.com/weir-go/weir/endpoint"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// quick has short waits, so that what fails fails soon.
var quick = endpoint.HTTPOptions{Backoff: func(int) time.Duration { return 0 }}

func serve(t *testing.T, h http.HandlerFunc) string {
	t.Helper()
	s := httptest.NewServer(h)
	t.Cleanup(s.Close)
	return s.URL
}

// script serves one prepared answer after the other to whatever is asked, and
// then hangs up on everything.
func script(t *testing.T, answers ...string) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			if len(answers) > 0 {
				if _, err := http.ReadRequest(bufio.NewReader(c)); err == nil {
					io.WriteString(c, answers[0])
				}
				answers = answers[1:]
			}
			c.Close()
		}
	}()
	t.Cleanup(func() {
		l.Close()
		<-done
	})
	return "http://" + l.Addr().String()
}

func content(n int) []byte {
	b := make([]byte, n)
	r := rand.NewChaCha8([32]byte{1})
	r.Read(b)
	return b
}

// asked notes the requests that a server got.
type asked struct {
	mu   sync.Mutex
	list []*http.Request
}

func (a *asked) add(r *http.Request) int {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.list = append(a.list, r)
	return len(a.list)
}

func (a *asked) all() []*http.Request {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.list
}

// cutter breaks the connection after some bytes of the body.
type cutter struct {
	http.ResponseWriter
	left int
}

func (c *cutter) Write(p []byte) (int, error) {
	if len(p) > c.left {
		c.ResponseWriter.Write(p[:c.left])
		c.ResponseWriter.(http.Flusher).Flush()
		panic(http.ErrAbortHandler)
	}
	c.left -= len(p)
	return c.ResponseWriter.Write(p)
}

func input(t *testing.T, name string, o endpoint.SourceOptions) endpoint.Input {
	t.Helper()
	in, err := endpoint.Source(name, o)
	if err != nil {
		t.Fatal(err)
	}
	return in
}

// fetch reads a source to its end.
func fetch(t *testing.T, in endpoint.Input) ([]byte, error) {
	t.Helper()
	var got bytes.Buffer
	err := in.Stream().To(weir.ToWriter(&got)).Run(t.Context())
	return got.Bytes(), err
}

func descriptors(t *testing.T) int {
	t.Helper()
	list, err := os.ReadDir("/proc/self/fd")
	if err != nil || runtime.GOOS == "windows" { // Wine shows the folder of the host system
		t.Skip("no /proc/self/fd here")
	}
	return len(list)
}

func TestSchemes_AreFoundByName(t *testing.T) {
	for name, want := range map[string]string{
		"gopher://x/y":             "unknown scheme gopher://; use file, http, https",
		"":                         "empty source name",
		"http://":                  "has no host",
		"http:///path":             "has no host",
		"file://elsewhere/x":       "another machine",
		"file://":                  "not a path",
		"http://u:pa%zzss@host/":   "must be written as %XX",
		"http://user:pa/ss@host/x": "must be written as %XX",
		"http://[::1/x":            "not a valid URL",
	} {
		_, err := endpoint.Source(name, endpoint.SourceOptions{})
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("Source(%q): %v, want %q", name, err, want)
		}
		if err != nil && (strings.Contains(err.Error(), "pa%zz") || strings.Contains(err.Error(), "pa/")) {
			t.Errorf("Source(%q) shows the password: %v", name, err)
		}
		if _, err := endpoint.Sink(name, endpoint.SinkOptions{}); err == nil {
			t.Errorf("Sink(%q) is accepted", name)
		}
	}
}

func TestOptions_AreCheckedBeforeAnythingOpens(t *testing.T) {
	for i, o := range []endpoint.SourceOptions{{Offset: -1}, {HTTP: endpoint.HTTPOptions{Attempts: -1}}} {
		if _, err := endpoint.Source("http://127.0.0.1:1/x", o); err == nil {
			t.Errorf("source options %d are accepted", i)
		}
	}
	for i, o := range []endpoint.SinkOptions{{Offset: -1}, {Offset: 1}, {Exclusive: true, Offset: 1}, {HTTP: endpoint.HTTPOptions{Attempts: -1}}} {
		if _, err := endpoint.Sink("http://127.0.0.1:1/x", o); err == nil {
			t.Errorf("sink options %d are accepted", i)
		}
	}
	if _, err := endpoint.Source("-", endpoint.SourceOptions{Offset: 1}); err == nil {
		t.Error("standard input begins at an offset")
	}
	if _, err := endpoint.Sink("-", endpoint.SinkOptions{Exclusive: true}); err == nil {
		t.Error("standard output is exclusive")
	}
}

func TestRegister_AddsAScheme(t *testing.T) {
	scheme := fmt.Sprintf("mem%d", rand.Uint32()) // the registry outlives a test that is run twice
	boom := errors.New("boom")
	endpoint.Register(scheme, endpoint.Scheme{Source: failingScheme(boom)})
	if _, err := endpoint.Source(strings.ToUpper(scheme)+"://bucket/key", endpoint.SourceOptions{}); !errors.Is(err, boom) {
		t.Errorf("got %v", err)
	}
	if _, err := endpoint.Sink(scheme+"://bucket/key", endpoint.SinkOptions{}); err == nil || !strings.Contains(err.Error(), "URLs cannot be written") {
		t.Errorf("got %v", err)
	}
	for _, name := range []string{scheme, "http", "", "UP", "a b", "1a"} {
		func() {
			defer func() {
				if recover() == nil {
					t.Errorf("Register(%q) is accepted", name)
				}
			}()
			endpoint.Register(name, endpoint.Scheme{})
		}()
	}
}

func TestSourceAndSink_OpenNothingBeforeTheFlowRuns(t *testing.T) {
	var a asked
	url := serve(t, func(w http.ResponseWriter, r *http.Request) { a.add(r) })
	in := input(t, url+"/x", endpoint.SourceOptions{})
	in.Stream()
	in.Info()
	if _, err := endpoint.Sink(url+"/y", endpoint.SinkOptions{}); err != nil {
		t.Fatal(err)
	}
	if n := len(a.all()); n != 0 {
		t.Errorf("%d requests", n)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := in.Stream().To(weir.Discard[byte]()).Run(ctx); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v", err)
	}
	if n := len(a.all()); n != 0 {
		t.Errorf("%d requests for a flow that was over before it began", n)
	}
}
