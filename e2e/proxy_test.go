package e2e

import (
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"sync"
	"testing"
	"time"
)

// fault handles a request instead of passing it on.
type fault func(p *proxy, w http.ResponseWriter, r *http.Request)

// proxy stands between weir and the gateway, and injects faults.
type proxy struct {
	url  string
	pass *httputil.ReverseProxy

	mu    sync.Mutex // guards the rest
	count map[string]int
}

// newProxy starts a proxy. plan is asked for each request, with how many of its
// kind came before; it may be nil.
func newProxy(t *testing.T, plan func(kind string, n int, r *http.Request) fault) *proxy {
	t.Helper()
	if gateway.skip != "" {
		t.Skip(gateway.skip)
	}
	to, err := url.Parse(gateway.url)
	if err != nil {
		t.Fatal(err)
	}
	p := &proxy{count: map[string]int{}}
	p.pass = &httputil.ReverseProxy{
		Rewrite: func(r *httputil.ProxyRequest) {
			r.SetURL(to)
			r.Out.Host = r.In.Host // it is signed
		},
		ErrorHandler: func(w http.ResponseWriter, _ *http.Request, _ error) { panic(http.ErrAbortHandler) },
	}
	s := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		kind := kindOf(r)
		p.mu.Lock()
		n := p.count[kind]
		p.count[kind]++
		p.mu.Unlock()
		if plan != nil {
			if f := plan(kind, n, r); f != nil {
				f(p, w, r)
				return
			}
		}
		p.pass.ServeHTTP(w, r)
	}))
	s.Config.ErrorLog = nil
	s.Start()
	t.Cleanup(s.Close)
	p.url = s.URL
	return p
}

// seen returns how many requests of a kind came.
func (p *proxy) seen(kind string) int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.count[kind]
}

// kindOf names the operation of the protocol.
func kindOf(r *http.Request) string {
	q := r.URL.Query()
	switch {
	case r.Method == "POST" && q.Has("uploads"):
		return "begin"
	case r.Method == "POST" && q.Has("uploadId"):
		return "complete"
	case r.Method == "PUT" && q.Has("partNumber"):
		return "part"
	case r.Method == "PUT":
		return "put"
	case r.Method == "DELETE" && q.Has("uploadId"):
		return "abort"
	case r.Method == "DELETE":
		return "delete"
	case r.Method == "HEAD":
		return "head"
	case q.Has("list-type"):
		return "list"
	case q.Has("uploads"):
		return "list uploads"
	case q.Has("uploadId"):
		return "list parts"
	}
	return "get"
}

// answers replies with an error of the protocol.
func answers(status int, code string) fault {
	return func(_ *proxy, w http.ResponseWriter, r *http.Request) {
		io.Copy(io.Discard, r.Body)
		w.Header().Set("Content-Type", "application/xml")
		w.WriteHeader(status)
		fmt.Fprintf(w, "<?xml version=\"1.0\"?><Error><Code>%s</Code><Message>made by the test</Message></Error>", code)
	}
}

// breaks reads n bytes of the request and closes the connection.
func breaks(n int64) fault {
	return func(_ *proxy, w http.ResponseWriter, r *http.Request) {
		io.CopyN(io.Discard, r.Body, n)
		hangUp(w)
	}
}

// loses passes the request on and drops the answer.
func loses(p *proxy, w http.ResponseWriter, r *http.Request) {
	p.pass.ServeHTTP(httptest.NewRecorder(), r)
	hangUp(w)
}

// truncates passes the request on and ends the answer after n bytes of its body.
func truncates(n int64) fault {
	return func(p *proxy, w http.ResponseWriter, r *http.Request) {
		p.pass.ServeHTTP(&short{ResponseWriter: w, left: n}, r)
	}
}

// corrupts passes the request on and changes one byte of the answer's body.
func corrupts(p *proxy, w http.ResponseWriter, r *http.Request) {
	p.pass.ServeHTTP(&wrong{ResponseWriter: w}, r)
}

// delays waits before it passes the request on.
func delays(d time.Duration) fault {
	return func(p *proxy, w http.ResponseWriter, r *http.Request) {
		select {
		case <-time.After(d):
			p.pass.ServeHTTP(w, r)
		case <-r.Context().Done():
		}
	}
}

func hangUp(w http.ResponseWriter) {
	c, _, err := w.(http.Hijacker).Hijack()
	if err != nil {
		panic(http.ErrAbortHandler)
	}
	c.(*net.TCPConn).SetLinger(0)
	c.Close()
}

type short struct {
	http.ResponseWriter
	left int64
}

func (s *short) Write(p []byte) (int, error) {
	if int64(len(p)) < s.left {
		s.left -= int64(len(p))
		return s.ResponseWriter.Write(p)
	}
	s.ResponseWriter.Write(p[:s.left])
	s.ResponseWriter.(http.Flusher).Flush()
	panic(http.ErrAbortHandler)
}

type wrong struct {
	http.ResponseWriter
	done bool
}

func (s *wrong) Write(p []byte) (int, error) {
	if !s.done && len(p) > 0 {
		s.done = true
		p = append([]byte{}, p...)
		p[len(p)/2] ^= 1
	}
	return s.ResponseWriter.Write(p)
}
