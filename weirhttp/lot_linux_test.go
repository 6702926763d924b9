package weirhttp

import (
	"errors"
	"os"
	"path/filepath"
	"sync"
	"syscall"
	"testing"
)

func TestLot_DownloadThatCannotWaitIsToldSo(t *testing.T) {
	var l lot
	var work sync.WaitGroup
	l.open(&work)
	if !l.usable() {
		t.Skip("there is no epoll")
	}
	defer work.Wait()
	defer l.close()
	f, err := os.Create(filepath.Join(t.TempDir(), "f")) // regular files cannot be waited for
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	c := new(conn)
	if c.raw, err = f.SyscallConn(); err != nil {
		t.Fatal(err)
	}
	if err := l.wait(&parked{c: c}); !errors.Is(err, syscall.EPERM) {
		t.Errorf("error %v", err)
	}
	if len(l.waiting) != 0 || c.writing.Load() != 0 {
		t.Errorf("%d wait, %d write", len(l.waiting), c.writing.Load())
	}
}
