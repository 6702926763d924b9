package weirhttp

import (
	"bufio"
	"context"
	"errors"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"testing"
	"time"
)

func TestGuard_ConnectionThatComesDuringCloseIsNotTaken(t *testing.T) {
	g := new(Guard)
	p := newPort(g, new(http.Server), listen(t))
	if err := p.Close(); err != nil {
		t.Fatal(err)
	}
	ours, theirs := net.Pipe()
	defer theirs.Close()
	if c := p.receive(ours); c != nil {
		t.Error("it was taken")
		c.Close()
	}
	if _, err := theirs.Write([]byte{0}); err == nil {
		t.Error("it was left open")
	}
	if g.conns != 0 {
		t.Errorf("%d connections are counted", g.conns)
	}
	<-p.gone
}

func TestGuard_ClientOfAnotherSocketIsDisconnectedToo(t *testing.T) {
	atOnce(t)
	nothingLeft(t)
	files := bigAndStream(t, 16<<20)
	h := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/go.mod" { // a file that net/http sends by itself
			http.ServeFile(w, r, "../go.mod")
			return
		}
		files.ServeHTTP(w, r)
	})
	dir, err := os.MkdirTemp("", "weir") // t.TempDir is too long for a socket
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	l, err := net.Listen("unix", filepath.Join(dir, "s"))
	if err != nil {
		t.Skip(err)
	}
	g := &Guard{Stall: 200 * time.Millisecond, Log: slog.New(slog.DiscardHandler), Transfers: new(Transfers)}
	served := make(chan error, 1)
	go func() { served <- g.Serve(&http.Server{Handler: h}, l) }()
	defer func() {
		g.Close()
		<-served
	}()
	c, err := net.Dial("unix", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	br := bufio.NewReader(c)
	if text, err := io.ReadAll(ask(t, c, br, "/go.mod").Body); err != nil || len(text) == 0 {
		t.Errorf("a file: %d bytes, %v", len(text), err)
	}
	ask(t, c, br, "/big")
	eventually(t, func() bool { return g.Transfers.Totals().Failed == 1 }, "it was not cut off")
}

func TestGuard_ShutdownSaysWhyItGaveUp(t *testing.T) {
	s := guarded(t, &Guard{}, bigAndStream(t, 16<<20))
	c := s.dial(t, 8<<10)
	ask(t, c, bufio.NewReader(c), "/stream")
	why := errors.New("enough")
	ctx, cancel := context.WithCancelCause(context.Background())
	cancel(why)
	if err := s.g.Shutdown(ctx); !errors.Is(err, why) {
		t.Errorf("Shutdown: %v", err)
	}
}
