package weirhttp

import (
	"bufio"
	"log/slog"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"testing"
	"time"
)

func TestAConnectionThatComesDuringCloseIsNotTaken(t *testing.T) {
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

func TestAClientOfAnotherSocketIsCutOffToo(t *testing.T) {
	nothingLeft(t)
	h := bigAndStream(t, 16<<20)
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
	ask(t, c, bufio.NewReader(c), "/big")
	eventually(t, func() bool { return g.Transfers.Totals().Failed == 1 }, "it was not cut off")
}
