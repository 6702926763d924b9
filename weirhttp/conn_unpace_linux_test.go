package weirhttp

import (
	"bytes"
	"net/http"
	"testing"

	"golang.org/x/sys/unix"
)

func TestGuard_ConnectionsOfThisMachineAreNotPaced(t *testing.T) {
	l := listen(t)
	dial(t, l)
	nc, err := l.Accept()
	if err != nil {
		t.Fatal(err)
	}
	p := newPort(new(Guard), new(http.Server), l)
	defer p.Close()
	c := p.receive(nc)
	if c == nil {
		t.Fatal("it was not taken")
	}
	defer c.Close()
	if err := c.raw.Control(func(fd uintptr) {
		name, err := unix.GetsockoptString(int(fd), unix.IPPROTO_TCP, unix.TCP_CONGESTION)
		if err != nil {
			t.Error(err)
		} else if name, _, _ := bytes.Cut([]byte(name), []byte{0}); string(name) != "reno" {
			t.Errorf("its congestion control is %q", name)
		}
	}); err != nil {
		t.Error(err)
	}
}
