//go:build linux

package weirhttp

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"github.com/weir-go/weir"
	"github.com/weir-go/weir/weirhttp/internal/quota"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"
)

// passing is a listener whose connections count what is read past the kernel's
// copy: what passes through the process.
type passing struct {
	net.Listener
	n *atomic.Int64
}

type passingConn struct {
	net.Conn
	n *atomic.Int64
}

func (p passing) Accept() (net.Conn, error) {
	c, err := p.Listener.Accept()
	return passingConn{c, p.n}, err
}

func (c passingConn) Read(b []byte) (int, error) {
	n, err := c.Conn.Read(b)
	c.n.Add(int64(n))
	return n, err
}

// kernelInbox is an inbox that counts what passes through the process.
func kernelInbox(t *testing.T, u *Uploads) (*inbox, *atomic.Int64) {
	in := unstartedInbox(t, u)
	n := new(atomic.Int64)
	in.Listener = passing{in.Listener, n}
	in.Config.ConnContext = func(ctx context.Context, c net.Conn) context.Context {
		return ConnContext(ctx, c.(passingConn).Conn)
	}
	in.Start()
	return in, n
}

func TestUploads_KernelMovesLargeUploads(t *testing.T) {
	atOnce(t)
	in, n := kernelInbox(t, &Uploads{NoDigest: true, Sync: true, Quota: 100 << 20})
	big := content(9<<20 + 13)
	in.wantStatus(201, "PUT", "/upload/a", strings.NewReader(big), "Expect", "100-continue")
	res := in.wantStatus(201, "PUT", "/upload/b", strings.NewReader(big))
	if !res.Close {
		t.Error("the connection is kept, although net/http does not know where the next request begins")
	}
	if n.Load() > 200<<10 {
		t.Errorf("%d bytes passed through the process", n.Load())
	}
	in.wantFiles(map[string]string{"a": big, "b": big})
	in.wantNoRoom()
	n.Store(0)
	in.wantStatus(201, "PUT", "/upload/c", strings.NewReader(big), "Content-MD5", md5Of(big))
	if n.Load() < int64(len(big)) {
		t.Errorf("%d bytes of an upload with a digest were looked at", n.Load())
	}
}

func TestUploads_KernelUploadsTakeTheirPiecesFromTheBudget(t *testing.T) {
	atOnce(t)
	budget := weir.NewBudget(8 << 10)
	in, n := kernelInbox(t, &Uploads{NoDigest: true, Budget: budget, Queue: -1})
	big := content(3 << 20)
	in.wantStatus(201, "PUT", "/upload/a", strings.NewReader(big))
	loc := in.create(len(big), "tus")
	if n.Load() > 200<<10 {
		t.Errorf("%d bytes passed through the process", n.Load())
	}
	if budget.Peak() != 8<<10 || budget.Used() != 0 {
		t.Errorf("peak %d, used %d", budget.Peak(), budget.Used())
	}
	if err := budget.Acquire(t.Context(), 1); err != nil {
		t.Fatal(err)
	}
	in.wantStatus(503, "PUT", "/upload/b", strings.NewReader(big))
	in.patch(503, loc, 0, strings.NewReader(big))
	budget.Release(1)
	in.patch(204, loc, 0, strings.NewReader(big))
	in.wantNoRoom()
	if budget.Used() != 0 {
		t.Errorf("%d bytes are still taken", budget.Used())
	}
}

func TestUploads_KernelDoesNotGoPastAWrappedBody(t *testing.T) {
	in := unstartedInbox(t, &Uploads{NoDigest: true})
	in.Config.Handler = http.MaxBytesHandler(in.Config.Handler, 2<<20)
	in.Start()
	in.wantStatus(413, "PUT", "/upload/a", strings.NewReader(content(3<<20)))
	in.wantStatus(201, "PUT", "/upload/b", strings.NewReader(content(2<<20)))
	in.wantFiles(map[string]string{"b": content(2 << 20)})
}

func TestUploads_KernelMovesResumableUploads(t *testing.T) {
	atOnce(t)
	in, n := kernelInbox(t, &Uploads{})
	all := content(8 << 20)
	loc := in.create(len(all), "a")
	conn := in.dial(fmt.Sprintf("PATCH %s HTTP/1.1\r\nHost: x\r\nTus-Resumable: 1.0.0\r\nUpload-Offset: 0\r\n"+
		"Content-Type: application/offset+octet-stream\r\nContent-Length: %d\r\n\r\n%s", loc, len(all), all[:3<<20]))
	conn.CloseWrite()
	io.Copy(io.Discard, conn)
	in.wantOffset(loc, 3<<20)
	in.patch(204, loc, 3<<20, strings.NewReader(all[3<<20:]))
	in.wantOffset(loc, len(all))
	if n.Load() > 200<<10 {
		t.Errorf("%d bytes passed through the process", n.Load())
	}
	in.wantNoRoom()
	if got, err := os.ReadFile(filepath.Join(in.u.Dir, "a")); err != nil || string(got) != all {
		t.Errorf("%d bytes, %v", len(got), err)
	}
}

func TestUploads_KernelUploadIsWholeOrAbsent(t *testing.T) {
	atOnce(t)
	in := newInbox(t, &Uploads{NoDigest: true, Stall: time.Second})
	head := "PUT /upload/a HTTP/1.1\r\nHost: x\r\nContent-Length: 4000000\r\n\r\n"
	short := in.dial(head + content(2_000_000))
	short.CloseWrite()
	if res, err := http.ReadResponse(bufio.NewReader(short), nil); err != nil || res.StatusCode != 400 {
		t.Errorf("short: %v, %v", res, err)
	}
	silent := in.dial(head + content(2_000_000))
	if res, err := http.ReadResponse(bufio.NewReader(silent), nil); err != nil || res.StatusCode != 408 {
		t.Errorf("silent: %v, %v", res, err)
	}
	reset := in.dial(head + content(2_000_000))
	reset.SetLinger(0)
	reset.Close()
	silent.Close()
	short.Close()
	in.Server.Close()
	in.wantNoRoom()
	in.wantFiles(nil)
}

func TestUploads_KernelUploadOfASlowClientIsNotDisconnected(t *testing.T) {
	atOnce(t)
	in := newInbox(t, &Uploads{NoDigest: true, Stall: time.Second})
	all := content(kernelLeast)
	conn := in.dial(fmt.Sprintf("PUT /upload/a HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n", len(all)))
	for rest := all; rest != ""; { // takes longer than Stall, and never pauses for as long
		n := min(len(rest), kernelLeast/16)
		io.WriteString(conn, rest[:n])
		rest = rest[n:]
		time.Sleep(100 * time.Millisecond)
	}
	if res, err := http.ReadResponse(bufio.NewReader(conn), nil); err != nil || res.StatusCode != 201 {
		t.Errorf("%v, %v", res, err)
	}
	in.wantFiles(map[string]string{"a": all})
}

func TestUploads_KernelUploadOntoADiskThatOthersFill(t *testing.T) {
	dir := smallDisk(t, 8<<20)
	in := newInbox(t, &Uploads{Dir: dir, NoDigest: true})
	conn := in.dial("PUT /upload/a HTTP/1.1\r\nHost: x\r\nContent-Length: 7000000\r\n\r\n" + content(1000))
	in.waitMoved("a", 1000)
	other := filepath.Join(dir, "other")
	f, err := os.Create(other)
	if err != nil {
		t.Fatal(err)
	}
	io.Copy(f, strings.NewReader(content(8<<20)))
	f.Close()
	if _, err := io.WriteString(conn, content(6_999_000)); err != nil {
		t.Errorf("the connection was closed while sending: %v", err)
	}
	if res, err := http.ReadResponse(bufio.NewReader(conn), nil); err != nil || res.StatusCode != 507 {
		t.Fatalf("%v, %v", res, err)
	}
	conn.Close()
	os.Remove(other)
	in.wantFiles(nil)
	in.wantNoRoom()
}

func TestUploads_WithoutItsConnectionTheBodyIsCopied(t *testing.T) {
	u := &Uploads{Dir: t.TempDir(), NoDigest: true}
	s := httptest.NewUnstartedServer(u)
	s.Config.ConnContext = ConnContext
	s.StartTLS()
	defer s.Close()
	in := &inbox{Server: s, t: t, u: u}
	in.wantStatus(201, "PUT", "/a", strings.NewReader(content(3<<20)))
	in.wantFiles(map[string]string{"a": content(3 << 20)})
	s.Close()
	if err := u.Close(); err != nil {
		t.Error(err)
	}
}

func TestUploads_WithoutAPipeAnUploadGoesThroughMemory(t *testing.T) {
	a, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer a.Close()
	client, err := net.Dial("tcp", a.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	server, err := a.Accept()
	if err != nil {
		t.Fatal(err)
	}
	defer server.Close()
	f, err := os.Create(filepath.Join(t.TempDir(), "f"))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	all := content(3 << 20)
	go func() {
		io.WriteString(client, all)
		client.Close()
	}()
	l := &quota.Ledger{Free: func() (int64, error) { return 1 << 40, nil }}
	hold, err := l.Take(0)
	if err != nil {
		t.Fatal(err)
	}
	budget := weir.NewBudget(64<<10 - 8<<10) // beyond what run has taken
	k := kernelCopy{budget: budget, conn: server, body: &requestBody{stall: time.Minute, rc: http.NewResponseController(httptest.NewRecorder())},
		file: f, left: int64(len(all)), hold: hold, x: new(transfer)}
	if err := k.copy(t.Context()); err != nil || k.n != int64(len(all)) {
		t.Errorf("%d bytes, %v", k.n, err)
	}
	if got, err := os.ReadFile(f.Name()); err != nil || string(got) != all {
		t.Errorf("%d bytes, %v", len(got), err)
	}
	if budget.Peak() != budget.Total() || budget.Used() != 0 {
		t.Errorf("peak %d, used %d of %d", budget.Peak(), budget.Used(), budget.Total())
	}
	k.left, k.budget = 1, weir.NewBudget(1) // in the smallest pieces
	var se *weir.StageError
	if err := k.copy(t.Context()); !errors.Is(err, io.ErrUnexpectedEOF) || !errors.As(err, &se) || se.Stage != "client" {
		t.Errorf("a body that ends early: %v", err)
	}
}
