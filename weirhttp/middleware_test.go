package weirhttp

import (
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/weir-go/weir"
)

// reads is a middleware's writer that can be given a reader, and nothing else.
type reads struct {
	http.ResponseWriter
	io.ReaderFrom
}

// copies is one that copies what it is given.
type copies struct{ http.ResponseWriter }

func (c copies) ReadFrom(r io.Reader) (int64, error) {
	return io.Copy(struct{ io.Writer }{c.ResponseWriter}, r)
}

// Unwrap lets flushes through.
func (c copies) Unwrap() http.ResponseWriter { return c.ResponseWriter }

func TestMiddleware_ThatHidesTheServerIsServed(t *testing.T) {
	atOnce(t)
	const size = 3 << 20
	body := pattern(size)
	files := quiet(tree(t, map[string]string{"big": body, "small": body[:5000]}))
	handler := func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/stream" {
			out := make(chan struct{})
			time.AfterFunc(100*time.Millisecond, func() { close(out) }) // until it has been flushed
			Respond(w, r, script{chunks: []string{"all of it"}, err: io.EOF, wait: out}.stream())
			return
		}
		files.ServeHTTP(w, r)
	}
	for name, wrap := range map[string]func(http.ResponseWriter) http.ResponseWriter{
		"bare": func(w http.ResponseWriter) http.ResponseWriter { return struct{ http.ResponseWriter }{w} },
		"reads": func(w http.ResponseWriter) http.ResponseWriter {
			if rf, ok := w.(io.ReaderFrom); ok {
				return reads{w, rf}
			}
			return struct{ http.ResponseWriter }{w}
		},
		"copies": func(w http.ResponseWriter) http.ResponseWriter { return copies{w} },
	} {
		h := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { handler(wrap(w), r) })
		for proto, change := range map[string][]func(*http.Server){"HTTP/1": nil, "HTTP/2": {withTLS}} {
			t.Run(name+" "+proto, func(t *testing.T) {
				s := guarded(t, &Guard{}, h, change...)
				for path, want := range map[string]string{"/big": body, "/small": body[:5000], "/stream": "all of it"} {
					if resp, got := s.fetch(t, browser(t), "GET", path); resp.StatusCode != 200 || got != want {
						t.Errorf("%s: %s, %d bytes", path, resp.Status, len(got))
					}
				}
			})
		}
	}
}

func TestMiddleware_StalledStreamOfPlainHTTP2IsDisconnected(t *testing.T) {
	atOnce(t)
	g := &Guard{Stall: 200 * time.Millisecond}
	s := guarded(t, g, bigAndStream(t, 16<<20), func(s *http.Server) { s.Protocols = h2c() })
	c := browser(t)
	c.Transport.(*http.Transport).Protocols = h2c()
	resp, err := c.Get(s.url("/big"))
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	eventually(t, func() bool { return g.Transfers.Totals().Failed == 1 }, "it was not cut off")
	if n, err := io.Copy(io.Discard, resp.Body); err == nil {
		t.Errorf("the client takes %d bytes for the whole", n)
	}
}

func TestMiddleware_AnswerThatIsWrittenIsNotCollected(t *testing.T) {
	c := &conn{Conn: discards{}, rules: new(connRules)}
	c.holdHeader()
	for _, b := range []string{"HTTP/1.1 200 OK\r\n", "Connection: close\r\n", "\r\n"} {
		if _, err := c.Write([]byte(b)); err != nil {
			t.Fatal(err)
		}
	}
	if n := c.wrote.Load(); n != 0 {
		t.Errorf("%d bytes of the header were not held", n)
	}
	if c.Write([]byte("body")); c.held != nil || !c.closes {
		t.Error("the body is held behind its header")
	}
	c.holdHeader()
	for range 100 { // a header that does not end
		c.Write([]byte(strings.Repeat("x", 10<<10)))
	}
	if c.held != nil && len(*c.held) > mostHeld || !c.closes {
		t.Error("anything is held")
	}
}

// discards is a connection that takes everything.
type discards struct{ net.Conn }

func (discards) Write(b []byte) (int, error) { return len(b), nil }

// panicky is a middleware's writer that panics in a flush, or in a write behind the first one.
type panicky struct {
	http.ResponseWriter
	flush  bool
	writes int
}

func (p *panicky) FlushError() error {
	if p.flush {
		panic("flush")
	}
	return nil
}

func (p *panicky) Write(b []byte) (int, error) {
	if p.writes++; !p.flush && p.writes > 1 {
		panic("write")
	}
	return p.ResponseWriter.Write(b)
}

func TestMiddleware_ThatPanicsEndsItsAnswerOnly(t *testing.T) {
	atOnce(t)
	files := quiet(tree(t, map[string]string{"big": pattern(3 << 20)}))
	for _, c := range []struct {
		path  string
		flush bool
	}{{"/stream", true}, {"/stream", false}, {"/big", false}} {
		for proto, change := range map[string][]func(*http.Server){"HTTP/1": nil, "HTTP/2": {withTLS}} {
			t.Run(c.path+" "+proto, func(t *testing.T) {
				failed := make(chan error, 10)
				g := &Guard{Transfers: &Transfers{Done: func(_ Transfer, err error) { failed <- err }}}
				s := guarded(t, g, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
					w = &panicky{ResponseWriter: w, flush: c.flush}
					if c.path == "/big" {
						files.ServeHTTP(w, r)
						return
					}
					more := []string{strings.Repeat("b", 1<<20)}
					if c.flush {
						more = nil // the source yields nothing any more
					}
					Respond(w, r, weir.Concat(script{chunks: []string{"a"}, err: io.EOF}.stream(),
						script{chunks: more, err: io.EOF, wait: make(chan struct{})}.stream()))
				}), change...)
				resp, err := browser(t).Get(s.url(c.path))
				if err == nil {
					_, err = io.Copy(io.Discard, resp.Body)
					resp.Body.Close()
				}
				if err == nil {
					t.Error("the answer looks complete")
				}
				if err := <-failed; err == nil {
					t.Error("the transfer is counted as a success")
				}
				if left := g.Transfers.List(); len(left) > 0 {
					t.Errorf("transfers are left: %v", left)
				}
			})
		}
	}
}
