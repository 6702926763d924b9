package weirhttp

import (
	"bufio"
	"context"
	"errors"
	"github.com/weir-go/weir/weirhttp/internal/openfile"
	"io"
	"net"
	"net/http"
	"net/netip"
	"os"
	"path/filepath"
	"strconv"
	"testing"
	"time"
)

// TestConn_WithoutTheKernelsWordSteadyClientsAreNotDisconnected looks at connections as the
// watchdog does, but at times of its own. So it does not matter how fast the machine is.
func TestConn_WithoutTheKernelsWordSteadyClientsAreNotDisconnected(t *testing.T) {
	atOnce(t)
	root := tree(t, map[string]string{"big": pattern(16 << 20), "small": pattern(4 << 10)})
	files := quiet(root)
	first, last := io.Pipe()
	t.Cleanup(func() { last.Close() })
	serving := make(chan *conn, 1)
	h := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		serving <- connOf(r)
		switch r.URL.Path {
		case "/copied": // by the kernel, for net/http
			http.ServeFile(w, r, filepath.Join(root.Name(), "big"))
		case "/waits": // for something that is not the client
			w.Header().Set("Content-Length", strconv.Itoa(4<<10+len("firstlast")))
			w.Write(make([]byte, 4<<10)) // so that net/http hands the reader on
			w.(http.Flusher).Flush()
			w.(io.ReaderFrom).ReadFrom(first)
		default:
			files.ServeHTTP(w, r)
		}
	})
	// begin asks for a path, and returns both ends of the connection.
	begin := func(t *testing.T, g *Guard, path string) (client net.Conn, body io.Reader, c *conn) {
		g.Stall, g.blind = -1, true // no watchdog
		s := guarded(t, g, h)
		client = s.dial(t, 8<<10)
		body = ask(t, client, bufio.NewReader(client), path).Body
		return client, body, <-serving
	}
	at := time.Unix(1_700_000_000, 0)
	// isFine looks at c twice, an hour apart.
	isFine := func(t *testing.T, c *conn) {
		t.Helper()
		for range 2 {
			at = at.Add(time.Hour)
			if lag := c.lag(at); lag != 0 {
				t.Errorf("the client is %v behind", lag)
			}
		}
	}
	t.Run("copied", func(t *testing.T) {
		client, body, c := begin(t, new(Guard), "/copied")
		c.lag(at)
		for range 8 {
			before := c.wrote.Load()
			if _, err := io.CopyN(io.Discard, body, 2*blindPiece); err != nil {
				t.Fatal(err)
			}
			eventually(t, func() bool { return c.wrote.Load() > before }, "what the client takes is not seen")
			at = at.Add(30 * time.Second)
			if lag := c.lag(at); lag != 0 {
				t.Errorf("the client is %v behind", lag)
			}
		}
		client.Close()
	})
	t.Run("waits", func(t *testing.T) {
		_, body, c := begin(t, new(Guard), "/waits")
		if _, err := io.WriteString(last, "first"); err != nil {
			t.Fatal(err)
		}
		if _, err := io.CopyN(io.Discard, body, int64(4<<10+len("first"))); err != nil {
			t.Fatal(err)
		}
		eventually(t, func() bool { return c.writing.Load() == 0 }, "the server waits for the client")
		isFine(t, c)
		if _, err := io.WriteString(last, "last"); err != nil {
			t.Fatal(err)
		}
		last.Close()
		if rest, err := io.ReadAll(body); err != nil || string(rest) != "last" {
			t.Errorf("the rest: %q, %v", rest, err)
		}
	})
	t.Run("paced", func(t *testing.T) {
		_, _, c := begin(t, &Guard{ConnRate: 1}, "/small")
		defer c.Close() // it would take an hour
		eventually(t, func() bool { return c.rated.Load() && c.writing.Load() == 0 }, "the server does not wait for the rate limit")
		isFine(t, c)
	})
}

func TestConn_ClientsOfOneNetworkShareAPlace(t *testing.T) {
	for addr, want := range map[string]string{
		"192.0.2.7": "192.0.2.7", "2001:db8:1:2:3::4": "2001:db8:1:2::", "::1": "::1", "fe80::7": "fe80::7",
	} {
		if got := network(netip.MustParseAddr(addr)); got.String() != want {
			t.Errorf("%s counts as %s, want %s", addr, got, want)
		}
	}
}

// dial connects to l, until the test ends.
func dial(t *testing.T, l net.Listener) net.Conn {
	t.Helper()
	nc, err := net.Dial("tcp", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { nc.Close(); l.Close() })
	return nc
}

func TestConn_ClientThatRestsIsNotQuick(t *testing.T) {
	l := listen(t)
	nc := dial(t, l)
	p := newPort(new(Guard), new(http.Server), l)
	c := newConn(&p.rules, p, nc)
	c.quick.Store(true)
	p.rules.quick.Store(1)
	c.watch = watchState{idle: true, at: time.Unix(1000, 0)}
	if lag := c.lag(time.Unix(1001, 0)); lag != 0 || c.quick.Load() || p.rules.quick.Load() != 0 {
		t.Errorf("lag %v, quick %v, %d places taken", lag, c.quick.Load(), p.rules.quick.Load())
	}
}

func TestConn_ClientThatLeftIsNotQuick(t *testing.T) {
	l := listen(t)
	p := newPort(new(Guard), new(http.Server), l)
	c := newConn(&p.rules, p, dial(t, l))
	c.Close()
	c.burstAt = time.Now()
	c.gave(quickPiece) // by a write that returned late
	if p.rules.quick.Load() != 0 {
		t.Error("it keeps a place of the quick ones")
	}
}

// handedOver is a connection that leaves net/http.
type handedOver struct {
	http.ResponseWriter
	c  *conn
	rw *bufio.ReadWriter
}

func (h handedOver) Hijack() (net.Conn, *bufio.ReadWriter, error) { return h.c, h.rw, nil }

func TestConn_WhatWasReadEarlyStaysInOrder(t *testing.T) {
	ours, theirs := net.Pipe()
	defer theirs.Close()
	p := newPort(new(Guard), new(http.Server), nil)
	c := newConn(&p.rules, p, ours)
	c.early = []byte("first last")
	br := bufio.NewReader(io.LimitReader(c, 5))
	br.Peek(5) // what net/http has in its buffer
	r, err := http.NewRequestWithContext(withTransfers(context.Background(), new(Transfers)), "GET", "/", nil)
	if err != nil {
		t.Fatal(err)
	}
	s := &span{x: begin(r, Download, "x", 1)}
	if !park(handedOver{c: c, rw: bufio.NewReadWriter(br, nil)}, r, c, s, func() {}) {
		t.Fatal("it was not parked")
	}
	if string(c.early) != "first last" {
		t.Errorf("%q", c.early)
	}
}

func TestConn_FilesThatTheKernelCannotSendAreCopied(t *testing.T) {
	body := pattern(3 << 20)
	h := quiet(tree(t, map[string]string{"big": body}))
	f, err := h.view().openFile("big", true) // shared with the downloads
	if err != nil {
		t.Fatal(err)
	}
	defer f.Release()
	f.Copied.Store(true)
	s := guarded(t, new(Guard), h)
	if resp, got := s.fetch(t, browser(t), "GET", "/big"); resp.StatusCode != 200 || got != body {
		t.Errorf("%s, %d bytes", resp.Status, len(got))
	}
	if resp, got := s.fetch(t, browser(t), "GET", "/big", "Range", "bytes=1000000-2000000"); resp.StatusCode != 206 || got != body[1_000_000:2_000_001] {
		t.Errorf("%s, %d bytes", resp.Status, len(got))
	}
	// The kernel sends no folder, and one cannot be read either.
	dir, err := os.Open(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	defer dir.Close()
	l := listen(t)
	nc := dial(t, l)
	p := newPort(new(Guard), new(http.Server), l)
	c := newConn(&p.rules, p, nc)
	info, err := dir.Stat()
	if err != nil {
		t.Fatal(err)
	}
	folder := &openfile.File{F: dir, FD: int(dir.Fd()), Size: info.Size(), Modified: info.ModTime()}
	if n, err := c.sendFile(nil, fileSpan(folder, 0, 1), 1); n != 0 || err == nil || errors.Is(err, ErrTruncated) {
		t.Errorf("a folder: %d bytes, %v", n, err)
	}
	if canPark && !folder.Copied.Load() {
		t.Error("it was not tried by copying")
	}
}
