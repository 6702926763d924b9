//go:build unix

package fifo

import (
	"context"
	"errors"
	"io"
	"os"
	"path/filepath"
	"syscall"
	"testing"
)

func mkfifo(t *testing.T) string {
	t.Helper()
	name := filepath.Join(t.TempDir(), "pipe")
	if err := syscall.Mkfifo(name, 0o600); err != nil {
		t.Skipf("no named pipes here: %v", err)
	}
	return name
}

func TestOpen_OfALonelyPipeEndsWithItsContext(t *testing.T) {
	stop := errors.New("enough")
	for _, flag := range []int{os.O_RDONLY, os.O_WRONLY} {
		name := mkfifo(t)
		ctx, cancel := context.WithCancelCause(t.Context())
		go cancel(stop)
		f, err := Open(ctx, name, flag, 0)
		if f != nil || !errors.Is(err, stop) {
			t.Errorf("Open(flag %d) = %v, %v; want the cause of the context", flag, f, err)
		}
	}
}

func TestOpen_MeetsTheOtherEnd(t *testing.T) {
	name := mkfifo(t)
	go func() {
		w, err := Open(context.Background(), name, os.O_WRONLY, 0)
		if err == nil {
			w.WriteString("hello")
			w.Close()
		}
	}()
	r, err := Open(t.Context(), name, os.O_RDONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	if b, err := io.ReadAll(r); string(b) != "hello" || err != nil {
		t.Fatalf("read %q, %v", b, err)
	}
}

func TestOpen_TreatsPlainFilesAsUsual(t *testing.T) {
	name := filepath.Join(t.TempDir(), "plain")
	f, err := Open(t.Context(), name, os.O_CREATE|os.O_WRONLY, 0o600)
	if err != nil {
		t.Fatal(err)
	}
	f.Close()
	if _, err := Open(t.Context(), name+".absent", os.O_RDONLY, 0); !errors.Is(err, os.ErrNotExist) {
		t.Fatalf("error = %v", err)
	}
}
