package tcp

import (
	"net"
	"testing"
)

func TestSameMachine_ComparesAddresses(t *testing.T) {
	for _, tt := range []struct {
		here, there string
		want        bool
	}{
		{"127.0.0.1:80", "127.0.0.1:5000", true},
		{"127.0.0.1:80", "127.8.0.1:5000", true},
		{"[::1]:80", "[::1]:5000", true},
		{"192.0.2.1:80", "192.0.2.1:5000", true}, // by its own address
		{"192.0.2.1:80", "192.0.2.2:5000", false},
		{"[2001:db8::1]:80", "[2001:db8::2]:5000", false},
	} {
		here, err := net.ResolveTCPAddr("tcp", tt.here)
		if err != nil {
			t.Fatal(err)
		}
		there, err := net.ResolveTCPAddr("tcp", tt.there)
		if err != nil {
			t.Fatal(err)
		}
		if got := SameMachine(here, there); got != tt.want {
			t.Errorf("%s and %s: %v", tt.here, tt.there, got)
		}
	}
	if SameMachine(&net.UnixAddr{}, &net.UnixAddr{}) {
		t.Error("two Unix sockets are on the same machine")
	}
}
