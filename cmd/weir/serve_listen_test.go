//go:build unix

package main

import (
	"context"
	"errors"
	"io"
	"io/fs"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

// shortDir returns a folder whose path leaves space for the name of a socket, which may
// have 104 bytes on some systems.
func shortDir(t *testing.T) string {
	dir, err := os.MkdirTemp("", "weir")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	return dir
}

// onSocket returns a client that connects to a unix socket.
func onSocket(t *testing.T, path string) *http.Client {
	tr := &http.Transport{DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, "unix", path)
	}}
	t.Cleanup(tr.CloseIdleConnections)
	return &http.Client{Transport: tr}
}

func TestServe_ListensOnASocketThatItsGroupCanUse(t *testing.T) {
	t.Parallel()
	dir, path := t.TempDir(), filepath.Join(shortDir(t), "s")
	put(t, noise(1<<20), dir, "a.bin")
	s := startServe(t, dir, "--listen", "unix:"+path, "--trusted-proxy", "unix")
	info, err := os.Lstat(path)
	if err != nil || info.Mode() != fs.ModeSocket|0o660 {
		t.Errorf("%v, %v", info.Mode(), err)
	}
	r, err := http.NewRequest("GET", "http://any.example/a.bin", nil)
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("X-Forwarded-For", "192.0.2.7")
	answer, err := onSocket(t, path).Do(r)
	if err != nil {
		t.Fatal(err)
	}
	n, err := io.Copy(io.Discard, answer.Body)
	answer.Body.Close()
	if answer.StatusCode != 200 || n != 1<<20 || err != nil {
		t.Errorf("%s, %d bytes, %v", answer.Status, n, err)
	}
	out := s.end()
	if all := s.requests(t); len(all) != 1 || all[0].Client != "192.0.2.7" {
		t.Errorf("logged %+v", all)
	}
	if !strings.Contains(out, "unix:"+path) || strings.Contains(out, "warning") {
		t.Error(out)
	}
	if left, err := os.ReadDir(filepath.Dir(path)); err != nil || len(left) > 0 {
		t.Errorf("left %v, %v", left, err)
	}
}

func TestServe_SocketOfAKilledServerIsReplacedAndNoOther(t *testing.T) {
	t.Parallel()
	dir := shortDir(t)
	path := filepath.Join(dir, "s")
	first := startServe(t, dir, "--listen", "unix:"+path)
	refused := func(what string) {
		t.Helper()
		out, err := exec.Command("weir", "serve", dir, "--listen", "unix:"+path).CombinedOutput()
		exit := new(exec.ExitError)
		if !errors.As(err, &exit) || exit.ExitCode() != exitDestination || !strings.Contains(string(out), "cannot listen on unix:") {
			t.Errorf("%s: %v\n%s", what, err, out)
		}
	}
	refused("in use")
	_ = first.cmd.Process.Kill()
	first.end()
	if _, err := os.Lstat(path); err != nil {
		t.Fatalf("a killed server leaves nothing: %v", err)
	}
	second := startServe(t, dir, "--listen", "unix:"+path)
	second.end()

	l, err := net.Listen("unix", path) // of another program, which has no lock
	if err != nil {
		t.Fatal(err)
	}
	refused("in use by another program")
	l.Close()
	put(t, []byte("important"), dir, "s")
	refused("a file")
	same(t, path, []byte("important"))
}

func TestServe_TellsSystemdWhatItDoes(t *testing.T) {
	t.Parallel()
	path := filepath.Join(shortDir(t), "notify")
	manager, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: path, Net: "unixgram"})
	if err != nil {
		t.Fatal(err)
	}
	defer manager.Close()
	s := startServeWith(t, []string{"NOTIFY_SOCKET=" + path}, t.TempDir(), "--grace", "2s")
	hears := func(prefix string) {
		t.Helper()
		buf := make([]byte, 4096)
		n, err := manager.Read(buf)
		if err != nil || !strings.HasPrefix(string(buf[:n]), prefix) {
			t.Errorf("%q, %v; want %q", buf[:n], err, prefix)
		}
	}
	hears("READY=1")
	if err := s.cmd.Process.Signal(syscall.SIGHUP); err != nil {
		t.Fatal(err)
	}
	hears("RELOADING=1\nMONOTONIC_USEC=")
	hears("READY=1")
	s.end()
	hears("STOPPING=1\nEXTEND_TIMEOUT_USEC=7000000")
}

func TestServe_ReadinessEndsBeforeTheListenerDoes(t *testing.T) {
	t.Parallel()
	s := startServe(t, t.TempDir(), "--drain", "1h")
	ask := func(path string) int {
		t.Helper()
		answer, err := http.Get(s.url + path)
		if err != nil {
			t.Fatal(err)
		}
		answer.Body.Close()
		return answer.StatusCode
	}
	if got := ask("readyz"); got != 200 {
		t.Fatal(got)
	}
	if err := s.cmd.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	for ask("readyz") != 503 { // until the signal has arrived
		time.Sleep(10 * time.Millisecond)
	}
	if live, page := ask("healthz"), ask(""); live != 200 || page != 200 {
		t.Errorf("healthz %d, the page %d", live, page)
	}
	// Until a second signal that is no echo of the first.
	for s.cmd.Process.Signal(syscall.SIGTERM) == nil {
		select {
		case <-s.ended:
			if out := s.end(); s.cmd.ProcessState.ExitCode() != exitTerminated || !strings.Contains(out, "draining: /readyz answers 503 for 1h") {
				t.Errorf("%v\n%s", s.cmd.ProcessState, out)
			}
			return
		case <-time.After(50 * time.Millisecond):
		}
	}
}

func TestServe_DoesNotDrainIfNobodyAsks(t *testing.T) {
	t.Parallel()
	s := startServe(t, t.TempDir(), "--drain", "1h")
	if out := s.end(); strings.Contains(out, "draining") {
		t.Error(out)
	}
}

func TestServe_LogNamesFileAndUserOfAnUpload(t *testing.T) {
	t.Parallel()
	c := exec.Command("weir", "password", "ann")
	c.Stdin = strings.NewReader("secret\n")
	line, err := c.Output()
	if err != nil {
		t.Fatal(err)
	}
	in := t.TempDir()
	put(t, []byte("old"), in, "a b.txt")
	s := startServe(t, in, "--uploads", in, "--auth", put(t, line, t.TempDir(), "users"))
	send := func(method, path, body string, header ...string) *http.Response {
		t.Helper()
		r, err := http.NewRequest(method, s.url+path, strings.NewReader(body))
		if err != nil {
			t.Fatal(err)
		}
		r.SetBasicAuth("ann", "secret")
		for i := 0; i < len(header); i += 2 {
			r.Header.Set(header[i], header[i+1])
		}
		answer, err := http.DefaultClient.Do(r)
		if err != nil {
			t.Fatal(err)
		}
		answer.Body.Close()
		return answer
	}
	send("PUT", "_upload/a%20b.txt", "new")
	begun := send("POST", "_upload/", "", "Tus-Resumable", "1.0.0", "Upload-Length", "3", "Upload-Metadata", "filename YyBkLnR4dA==")
	send("PATCH", strings.TrimPrefix(begun.Header.Get("Location"), "/"), "tus", "Tus-Resumable", "1.0.0", "Upload-Offset", "0", "Content-Type", "application/offset+octet-stream")
	send("POST", "_upload/", "--x\r\nContent-Disposition: form-data; name=f; filename=e.txt\r\n\r\ne\r\n--x\r\n"+
		"Content-Disposition: form-data; name=f; filename=f.txt\r\n\r\nf\r\n--x--\r\n", "Content-Type", "multipart/form-data; boundary=x")
	send("GET", "a%20b.txt", "")
	s.end()
	want := []string{"a b (2).txt", "c d.txt", "c d.txt", "e.txt, f.txt", ""}
	all := s.requests(t)
	if len(all) != len(want) {
		t.Fatalf("%+v", all)
	}
	for i, r := range all {
		if r.File != want[i] || r.User != "ann" {
			t.Errorf("%s %s: file %q of %q, want %q of ann", r.Method, r.Path, r.File, r.User, want[i])
		}
	}
}
