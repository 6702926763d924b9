package weirhttp

import (
	"bufio"
	"context"
	"io"
	"log/slog"
	"net/http"
	"os"
	"path/filepath"
	"runtime"
	"testing"
	"time"
)

// TestPark_ParkedDownloadsHaveNoGoroutine has clients that take nothing, whose own
// ends of the connections have none either.
func TestPark_ParkedDownloadsHaveNoGoroutine(t *testing.T) {
	const clients = 50
	s := guarded(t, &Guard{}, bigAndStream(t, 16<<20))
	wait := func(n int) {
		t.Helper()
		eventually(t, func() bool {
			waiting := 0
			for _, x := range s.g.Transfers.List() {
				if x.State == StateClient {
					waiting++
				}
			}
			return waiting == n
		}, "not all wait for their clients")
	}
	few := 0
	for i := range clients {
		c := s.dial(t, 8<<10)
		ask(t, c, bufio.NewReader(c), "/big")
		if i == 0 {
			wait(1)
			few = runtime.NumGoroutine()
		}
	}
	wait(clients)
	eventually(t, func() bool { return runtime.NumGoroutine() < few+clients/5 }, "each has a goroutine")
	if t.Failed() {
		stacks := make([]byte, 64<<10)
		t.Logf("%d were %d with one client:\n%.4000s", runtime.NumGoroutine(), few, stacks[:runtime.Stack(stacks, true)])
	}
}

// TestPark_DownloadsArriveWhereNothingCanBeParked has a server whose process may have no
// more descriptors of the kind that a lot needs.
func TestPark_DownloadsArriveWhereNothingCanBeParked(t *testing.T) {
	nothingLeft(t)
	const size = 8 << 20
	g := &Guard{Log: slog.New(slog.DiscardHandler), Transfers: new(Transfers)}
	srv := &http.Server{Handler: bigAndStream(t, size)}
	p := newPort(g, srv, listen(t))
	g.enter(p)
	g.prepare(srv)
	served := make(chan error, 1)
	go func() { // as port.serve does, without opening the lot
		defer close(p.over)
		p.work.Go(p.accept)
		p.work.Go(p.watch)
		served <- srv.Serve(p)
		p.Close()
		<-p.gone
		p.work.Wait()
	}()
	s := &site{g: g, addr: p.Addr().String(), srv: srv}
	c := s.dial(t, 64<<10)
	br := bufio.NewReader(c)
	for range 2 { // the second time after the first was sent
		resp := ask(t, c, br, "/big")
		eventually(t, func() bool {
			l := g.Transfers.List()
			return len(l) == 1 && l[0].State == StateClient
		}, "it does not wait for its client")
		body, err := io.ReadAll(resp.Body)
		if err != nil || string(body) != pattern(size) {
			t.Errorf("%d bytes, %v", len(body), err)
		}
	}
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
	defer cancel()
	if err := g.Shutdown(ctx); err != nil {
		t.Error(err)
	}
	if err := <-served; err != http.ErrServerClosed {
		t.Errorf("Serve returned %v", err)
	}
}

// TestPark_DownloadOutlivesTheNameOfItsFile takes a file, and then the folder it is in,
// away from a download that waits for its client.
func TestPark_DownloadOutlivesTheNameOfItsFile(t *testing.T) {
	body := pattern(8 << 20)
	root := tree(t, map[string]string{"d/big": body})
	s := guarded(t, &Guard{}, quiet(root))
	var answers []*http.Response
	for range 2 {
		c := s.dial(t, 64<<10)
		answers = append(answers, ask(t, c, bufio.NewReader(c), "/d/big"))
	}
	dir := filepath.Join(root.Name(), "d")
	if err := os.Chmod(filepath.Join(dir, "big"), 0); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(dir, 0); err != nil {
		t.Fatal(err)
	}
	if resp, _ := s.fetch(t, browser(t), "GET", "/d/big"); os.Geteuid() != 0 && resp.StatusCode != http.StatusForbidden {
		t.Errorf("a file that may not be read any more: %s", resp.Status)
	}
	if err := os.Chmod(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.RemoveAll(dir); err != nil {
		t.Fatal(err)
	}
	if resp, _ := s.fetch(t, browser(t), "GET", "/d/big"); resp.StatusCode != http.StatusNotFound {
		t.Errorf("a file that is gone: %s", resp.Status)
	}
	for _, resp := range answers {
		if got, err := io.ReadAll(resp.Body); err != nil || string(got) != body {
			t.Errorf("a download that had begun: %d bytes, %v", len(got), err)
		}
	}
}
