package errno_test

import (
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"syscall"
	"testing"

	"github.com/weir-go/weir/internal/errno"
)

func TestIs_KnowsARefusedConnection(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	addr := l.Addr().String()
	_, err = net.Listen("tcp", addr)
	if !errno.Is(err, syscall.EADDRINUSE) || errno.Is(err, syscall.ECONNREFUSED) {
		t.Errorf("an address that is in use: %v", err)
	}
	l.Close()
	_, err = net.Dial("tcp", addr)
	if err = fmt.Errorf("dial: %w", err); !errno.Is(err, syscall.ECONNREFUSED) || errno.Is(err, syscall.EADDRINUSE) {
		t.Errorf("an address where nothing listens: %v", err)
	}
}

func TestIs_KnowsAPipeWithoutAReader(t *testing.T) {
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer w.Close()
	r.Close()
	if _, err := w.Write([]byte("x")); !errno.Is(err, syscall.EPIPE) {
		t.Errorf("got %v", err)
	}
}

func TestIs_IsFalseForNoError(t *testing.T) {
	if errno.Is(nil, syscall.EPIPE) {
		t.Error("nil is an error")
	}
}

func TestBare_LeavesOutTheOperationAndTheNames(t *testing.T) {
	cause, plain := errors.New("cause"), errors.New("plain")
	var refused error = &net.OpError{Op: "dial", Net: "tcp", Err: os.NewSyscallError("connect", syscall.ECONNREFUSED)}
	for _, tt := range []struct{ err, want error }{
		{&fs.PathError{Op: "open", Path: "a", Err: cause}, cause},
		{fmt.Errorf("copy: %w", &os.LinkError{Op: "rename", Old: "a", New: "b", Err: cause}), cause},
		{&fs.PathError{Op: "write", Path: "a", Err: os.NewSyscallError("sendfile", syscall.ENOSPC)}, syscall.ENOSPC},
		{os.NewSyscallError("splice", syscall.ENOSPC), syscall.ENOSPC},
		{refused, refused},
		{plain, plain},
		{nil, nil},
	} {
		if got := errno.Bare(tt.err); got != tt.want {
			t.Errorf("Bare(%v) = %v, want %v", tt.err, got, tt.want)
		}
	}
}
