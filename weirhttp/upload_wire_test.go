package weirhttp

import (
	"bufio"
	"fmt"
	"io"
	"log/slog"
	"math"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"
)

// dial opens a connection of its own and sends text over it.
func (in *inbox) dial(text string) *net.TCPConn {
	in.t.Helper()
	conn, err := net.Dial("tcp", in.Listener.Addr().String())
	if err != nil {
		in.t.Fatal(err)
	}
	in.t.Cleanup(func() { conn.Close() })
	if _, err := io.WriteString(conn, text); err != nil {
		in.t.Fatal(err)
	}
	return conn.(*net.TCPConn)
}

func TestUploads_IsWholeOrAbsent(t *testing.T) {
	in := newInbox(t, &Uploads{})
	head := "PUT /upload/a HTTP/1.1\r\nHost: x\r\n"
	for name, text := range map[string]string{
		"short body":      head + "Content-Length: 100\r\n\r\n0123456789",
		"short chunk":     head + "Transfer-Encoding: chunked\r\n\r\n64\r\n0123456789",
		"no last chunk":   head + "Transfer-Encoding: chunked\r\n\r\na\r\n0123456789\r\n",
		"malformed chunk": head + "Transfer-Encoding: chunked\r\n\r\na\r\n0123456789\r\nzz\r\n",
	} {
		conn := in.dial(text)
		conn.CloseWrite()
		answer, err := io.ReadAll(conn)
		if err != nil || !strings.HasPrefix(string(answer), "HTTP/1.1 400 ") {
			t.Errorf("%s: %q, %v", name, answer, err)
		}
	}
	in.wantFiles(nil)
	in.wantNoRoom()
	if log := in.log.String(); strings.Count(log, "\n") != 4 || strings.Count(log, " error=") != 4 || !strings.Contains(log, "unexpected EOF") {
		t.Errorf("log: %s", log)
	}
}

func TestUploads_ClientThatSendsNothingIsLetGo(t *testing.T) {
	in := newInbox(t, &Uploads{Stall: 50 * time.Millisecond})
	conn := in.dial("PUT /upload/a HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\n0123456789")
	res, err := http.ReadResponse(bufio.NewReader(conn), nil)
	if err != nil || res.StatusCode != 408 {
		t.Errorf("%v, %v", res, err)
	}
	conn.Close()
	in.wantNoRoom()
	in.wantFiles(nil)
}

func TestUploads_TooLargeIsToldToAClientThatIsStillSending(t *testing.T) {
	in := newInbox(t, &Uploads{MaxSize: 1 << 20})
	for _, head := range []string{
		"PUT /upload/a HTTP/1.1\r\nHost: x\r\nContent-Length: 33554432\r\n\r\n",
		"PUT /upload/a HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n2000000\r\n",
	} {
		conn := in.dial(head)
		// A client that reads only when it has sent everything.
		if _, err := conn.Write(make([]byte, 32<<20)); err != nil {
			t.Errorf("the connection was closed while sending: %v", err)
		}
		res, err := http.ReadResponse(bufio.NewReader(conn), nil)
		if err != nil {
			t.Fatal(err)
		}
		text, err := io.ReadAll(res.Body)
		if res.StatusCode != 413 || err != nil || !strings.Contains(string(text), "1.0 MiB") && !strings.Contains(string(text), "1 MiB") {
			t.Errorf("%d %q %v", res.StatusCode, text, err)
		}
		conn.Close()
	}
	in.wantStatus(201, "PUT", "/upload/exact", strings.NewReader(content(1<<20)))
	in.wantStatus(201, "PUT", "/upload/exact2", unsized(content(1<<20)))
	in.wantStatus(413, "PUT", "/upload/more", unsized(content(1<<20)+"x"))
	in.wantFiles(map[string]string{"exact": content(1 << 20), "exact2": content(1 << 20)})
	in.wantNoRoom()
}

func TestUploads_LargestLimitIsNoLimit(t *testing.T) {
	in := newInbox(t, &Uploads{MaxSize: math.MaxInt64})
	in.wantStatus(201, "PUT", "/upload/a", unsized(content(100_000)))
	in.wantFiles(map[string]string{"a": content(100_000)})
}

func TestUploads_RefusedClientThatGoesOnForeverIsLetGo(t *testing.T) {
	bytes := hearBytes
	hearBytes = 1 << 20
	defer func() { hearBytes = bytes }()
	in := newInbox(t, &Uploads{MaxSize: 10})
	conn := in.dial("PUT /upload/a HTTP/1.1\r\nHost: x\r\nContent-Length: 1000000000000\r\n\r\n")
	for piece := make([]byte, 1<<16); ; {
		if _, err := conn.Write(piece); err != nil {
			break
		}
	}
	in.wantNoRoom()
}

func TestUploads_RefusedUploadIsNotContinued(t *testing.T) {
	in := newInbox(t, &Uploads{MaxSize: 10, Quota: 1000})
	for _, c := range []struct {
		n    int
		want string
	}{{11, "HTTP/1.1 413 "}, {5, "HTTP/1.1 100 Continue"}} {
		conn := in.dial(fmt.Sprintf("PUT /upload/a HTTP/1.1\r\nHost: x\r\nExpect: 100-continue\r\nContent-Length: %d\r\n\r\n", c.n))
		line, err := bufio.NewReader(conn).ReadString('\n')
		if err != nil || !strings.HasPrefix(line, c.want) {
			t.Errorf("%d bytes: %q, %v", c.n, line, err)
		}
		conn.Close()
	}
	in.wantNoRoom()
}

func TestUploads_KeptConnectionServesTheNextUpload(t *testing.T) {
	in := newInbox(t, &Uploads{MaxSize: 100})
	conn := in.dial("PUT /upload/a HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\n\r\na" +
		"PUT /upload/b HTTP/1.1\r\nHost: x\r\nContent-Digest: sha-256=:AAAA:\r\nContent-Length: 1\r\n\r\nb" +
		"PUT /upload/c HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\n\r\nc")
	r := bufio.NewReader(conn)
	for _, want := range []int{201, 400, 201} {
		res, err := http.ReadResponse(r, nil)
		if err != nil || res.StatusCode != want {
			t.Fatalf("%v, %v, want %d", res, err, want)
		}
		io.Copy(io.Discard, res.Body)
	}
	in.wantFiles(map[string]string{"a": "a", "c": "c"})
}

// withoutLength is a writer such as one that compresses: it states no length.
type withoutLength struct{ http.ResponseWriter }

func (w withoutLength) Unwrap() http.ResponseWriter { return w.ResponseWriter }

func (w withoutLength) WriteHeader(status int) {
	w.Header().Del("Content-Length")
	w.ResponseWriter.WriteHeader(status)
}

func TestUploads_RefusalIsCompleteThoughAWriterBetweenTakesItsLength(t *testing.T) {
	u := &Uploads{Dir: t.TempDir(), MaxSize: 10, Log: slog.New(slog.DiscardHandler)}
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		u.ServeHTTP(withoutLength{w}, r)
	}))
	defer srv.Close()
	for _, body := range []string{content(11), content(300_000)} {
		r, err := http.NewRequest("PUT", srv.URL+"/a", strings.NewReader(body))
		if err != nil {
			t.Fatal(err)
		}
		res, err := http.DefaultClient.Do(r)
		if err != nil {
			t.Fatal(err)
		}
		text, err := io.ReadAll(res.Body)
		res.Body.Close()
		if res.StatusCode != 413 || err != nil || !strings.HasSuffix(string(text), "\n") {
			t.Errorf("%d bytes: %d %q %v", len(body), res.StatusCode, text, err)
		}
	}
}
