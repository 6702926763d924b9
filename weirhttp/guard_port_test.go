package weirhttp

import (
	"net"
	"net/http"
	"testing"
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
