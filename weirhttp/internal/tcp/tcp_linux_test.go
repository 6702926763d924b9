package tcp

import (
	"bytes"
	"io"
	"net"
	"os"
	"path/filepath"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// pair returns the two ends of a connection.
func pair(t *testing.T) (here, there *net.TCPConn, raw syscall.RawConn) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	c, err := net.Dial("tcp", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	s, err := l.Accept()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close(); s.Close() })
	here, there = s.(*net.TCPConn), c.(*net.TCPConn)
	if raw, err = here.SyscallConn(); err != nil {
		t.Fatal(err)
	}
	return here, there, raw
}

func TestSendFile_SendsFromAnOffsetAlsoThroughMemory(t *testing.T) {
	name := filepath.Join(t.TempDir(), "f")
	want := bytes.Repeat([]byte("0123456789"), 1000)
	if err := os.WriteFile(name, want, 0o600); err != nil {
		t.Fatal(err)
	}
	f, err := os.Open(name)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	for _, byMemory := range []bool{false, true} {
		here, there, raw := pair(t)
		var copied atomic.Bool
		copied.Store(byMemory)
		err := raw.Write(func(fd uintptr) bool {
			if n, err := Send(int(fd), []byte("head"), true); n != 4 || err != nil {
				t.Errorf("%d, %v", n, err)
			}
			if n, err := SendFile(int(fd), int(f.Fd()), &copied, 5, 9000); n != 9000 || err != nil {
				t.Errorf("%d, %v", n, err)
			}
			if n, err := SendFile(int(fd), int(f.Fd()), &copied, 10_000, 1); n != 0 || err != nil {
				t.Errorf("at the end: %d, %v", n, err)
			}
			return true
		})
		if err != nil {
			t.Fatal(err)
		}
		here.CloseWrite()
		got, err := io.ReadAll(there)
		if err != nil || string(got) != "head"+string(want[5:9005]) {
			t.Errorf("%d bytes, %v", len(got), err)
		}
	}
}

func TestSendFile_CopiesWhatTheKernelCannotSend(t *testing.T) {
	dir, err := os.Open(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	defer dir.Close()
	_, _, raw := pair(t)
	var copied atomic.Bool
	raw.Write(func(fd uintptr) bool {
		if n, err := SendFile(int(fd), int(dir.Fd()), &copied, 0, 1); n > 0 || err == nil || !copied.Load() {
			t.Errorf("a folder: %d, %v, copied %v", n, err, copied.Load())
		}
		return true
	})
}

func TestProgressOf_CountsWhatTheClientHasAcknowledged(t *testing.T) {
	here, there, raw := pair(t)
	if err := LimitUnsent(raw, 4096); err != nil {
		t.Fatal(err)
	}
	before, ok := ProgressOf(raw)
	if !ok || before.Pending {
		t.Fatalf("%+v, %v", before, ok)
	}
	here.Write(make([]byte, 1000))
	io.ReadFull(there, make([]byte, 1000))
	for end := time.Now().Add(5 * time.Second); ; {
		if p, _ := ProgressOf(raw); p.Acked-before.Acked == 1000 && !p.Pending && p.Unsent == 0 {
			break
		} else if time.Now().After(end) {
			t.Fatalf("%+v", p)
		}
	}
}

func TestArrivalsOf_TellsUnreadBytesAndTheEnd(t *testing.T) {
	_, there, raw := pair(t)
	there.Write([]byte("12345"))
	if !WaitReadable(raw) {
		t.Fatal("nothing to read")
	}
	if a, ok := ArrivalsOf(raw); !ok || a != (Arrivals{Unread: 5}) {
		t.Errorf("%+v, %v", a, ok)
	}
	there.SetLinger(0)
	there.Close()
	for end := time.Now().Add(5 * time.Second); ; {
		if a, ok := ArrivalsOf(raw); ok && a.Ended && a.Reset {
			break
		} else if time.Now().After(end) {
			t.Fatalf("%+v, %v", a, ok)
		}
	}
}

func TestWaitReadable_ReportsTheEndOfTheConnection(t *testing.T) {
	_, there, raw := pair(t)
	there.Close()
	if WaitReadable(raw) {
		t.Error("a connection that has ended is readable")
	}
}

func TestUnpace_UsesReno(t *testing.T) {
	_, _, raw := pair(t)
	if err := Unpace(raw); err != nil {
		t.Fatal(err)
	}
	raw.Control(func(fd uintptr) {
		name, err := unix.GetsockoptString(int(fd), unix.IPPROTO_TCP, unix.TCP_CONGESTION)
		if name, _, _ := bytes.Cut([]byte(name), []byte{0}); err != nil || string(name) != "reno" {
			t.Errorf("%q, %v", name, err)
		}
	})
}
