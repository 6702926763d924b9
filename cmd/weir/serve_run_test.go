package main

import (
	"bufio"
	"encoding/json"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
)

// served is a weir serve that runs.
type served struct {
	url  string // with a slash at its end
	addr string
	cmd  *exec.Cmd
	end  func() string // ends it and returns all of its standard error

	ended chan struct{} // closed when it has ended

	mu    sync.Mutex // guards lines
	lines []string
}

// startServe runs weir serve on a free port until the test ends.
func startServe(t *testing.T, args ...string) *served {
	t.Helper()
	return startServeWith(t, nil, args...)
}

// startServeWith is startServe with variables in its environment.
func startServeWith(t *testing.T, env []string, args ...string) *served {
	t.Helper()
	s := &served{ended: make(chan struct{}), cmd: exec.Command("weir", append([]string{"serve", "--listen", "127.0.0.1:0", "--grace", "2s"}, args...)...)}
	s.cmd.Env = append(os.Environ(), env...)
	stderr, err := s.cmd.StderrPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := s.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	began := make(chan string, 1)
	go func() {
		defer close(s.ended)
		for in := bufio.NewScanner(stderr); in.Scan(); {
			s.mu.Lock()
			s.lines = append(s.lines, in.Text())
			s.mu.Unlock()
			if f := strings.Fields(in.Text()); len(f) > 2 && f[0] == "serving" {
				began <- f[len(f)-1]
			}
		}
	}()
	s.end = sync.OnceValue(func() string {
		_ = s.cmd.Process.Signal(os.Interrupt)
		<-s.ended
		_ = s.cmd.Wait() // 130: it was interrupted
		return strings.Join(s.lines, "\n")
	})
	t.Cleanup(func() {
		if out := s.end(); strings.Contains(out, "panic") {
			t.Errorf("a handler panicked:\n%s", out)
		}
	})
	select {
	case s.url = <-began:
	case <-s.ended:
		t.Fatalf("weir serve ended: %s", s.end())
	}
	if _, addr, ok := strings.Cut(s.url, "//"); ok { // not a socket
		s.addr = strings.TrimSuffix(addr, "/")
	}
	return s
}

// request is a line of the access log.
type request struct {
	Msg, Method, Path, Client, Proto, Error, File, User string
	Status                                              int
	Bytes                                               int64
}

// requests returns what was logged of requests so far.
func (s *served) requests(t *testing.T) []request {
	t.Helper()
	s.mu.Lock()
	defer s.mu.Unlock()
	var all []request
	for _, line := range s.lines {
		var r request
		if strings.HasPrefix(line, "{") {
			if err := json.Unmarshal([]byte(line), &r); err != nil {
				t.Fatalf("%s: %v", line, err)
			}
			if r.Msg == "request" {
				all = append(all, r)
			}
		}
	}
	return all
}

// gate is a proxy that lets so many bytes pass to the server, and holds back
// what comes then, until it is opened.
type gate struct {
	addr   string
	passed atomic.Int64 // bytes from clients to the server

	mu    sync.Mutex // guards what follows
	cond  *sync.Cond
	limit int64
	cuts  int
	conns []net.Conn
}

func newGate(t *testing.T, to string, limit int64) *gate {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	g := &gate{addr: l.Addr().String(), limit: limit}
	g.cond = sync.NewCond(&g.mu)
	var work sync.WaitGroup
	work.Go(func() {
		for {
			in, err := l.Accept()
			if err != nil {
				return
			}
			out, err := net.Dial("tcp", to)
			if err != nil {
				in.Close()
				continue
			}
			g.mu.Lock()
			g.conns = append(g.conns, in, out)
			g.mu.Unlock()
			work.Go(func() {
				_, _ = io.Copy(&toServer{g, out}, in)
				out.Close()
			})
			work.Go(func() {
				_, _ = io.Copy(in, out)
				in.Close()
			})
		}
	})
	t.Cleanup(func() {
		l.Close()
		g.cut()
		work.Wait()
	})
	return g
}

// open lets n bytes in all pass.
func (g *gate) open(n int64) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.limit = n
	g.cond.Broadcast()
}

// cut ends the connections there are, and lets go of what they hold back.
func (g *gate) cut() {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.cuts++
	for _, c := range g.conns {
		c.Close()
	}
	g.conns = nil
	g.cond.Broadcast()
}

type toServer struct {
	g   *gate
	out net.Conn
}

func (w *toServer) Write(p []byte) (int, error) {
	g := w.g
	g.mu.Lock()
	for cuts := g.cuts; g.passed.Load() >= g.limit && g.cuts == cuts; {
		g.cond.Wait()
	}
	g.mu.Unlock()
	n, err := w.out.Write(p)
	g.passed.Add(int64(n))
	return n, err
}

// store uploads a file, and returns the answer without its body.
func (s *served) store(t *testing.T, name, content string) *http.Response {
	t.Helper()
	return s.send(t, name, strings.NewReader(content))
}

// send is store for content whose length need not be known.
func (s *served) send(t *testing.T, name string, content io.Reader) *http.Response {
	t.Helper()
	r, err := http.NewRequest("PUT", s.url+"_upload/"+name, content)
	if err != nil {
		t.Fatal(err)
	}
	answer, err := http.DefaultClient.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	answer.Body.Close()
	return answer
}
