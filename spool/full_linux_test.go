package spool

import (
	"bytes"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/weir-go/weir"
)

// smallDisk returns a folder of a file system with 4 MiB.
func smallDisk(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	if err := syscall.Mount("weir", dir, "tmpfs", 0, "size=4m"); err != nil {
		t.Skip("a small file system cannot be mounted here:", err)
	}
	t.Cleanup(func() {
		if err := syscall.Unmount(dir, syscall.MNT_DETACH); err != nil {
			t.Error(err)
		}
	})
	return dir
}

func TestLog_ContinuesAfterARealFullDisk(t *testing.T) {
	t.Parallel()
	disk := smallDisk(t)
	filler := filepath.Join(disk, "filler")
	if err := os.WriteFile(filler, noise(2<<20), 0o600); err != nil {
		t.Fatal(err)
	}
	data := noise(3 << 20)
	dir := filepath.Join(disk, "spool")
	l := mustOpen(t, dir, Options{})
	p := produce(t, l, data)
	saved := 0
	var err error
	for err == nil {
		if err = p.write(t.Context(), 300_000); err == nil {
			if err = p.save(t.Context()); err == nil {
				saved = p.at
			}
		}
	}
	if !errors.Is(err, syscall.ENOSPC) || saved == 0 {
		t.Fatalf("after %d bytes: %v", saved, err)
	}
	r := consume(t, l, 0)
	if got, err := io.ReadAll(r); !errors.Is(err, syscall.ENOSPC) || len(got) < saved || !bytes.Equal(got, data[:len(got)]) {
		t.Errorf("%d bytes were read, %v", len(got), err)
	}
	r.Close()
	l.Close()
	if l, err := Open(t.Context(), dir, Options{}); err == nil { // the disk is still full
		l.Close()
	} else if !errors.Is(err, syscall.ENOSPC) {
		t.Error(err)
	}
	if err := os.Remove(filler); err != nil {
		t.Fatal(err)
	}
	expectContinued(t, mustOpen(t, dir, Options{}), data, saved)
}

func TestBytes_FailsOnAFullDisk(t *testing.T) {
	t.Parallel()
	disk := smallDisk(t)
	data := noise(5 << 20)
	dir := filepath.Join(disk, "spool")
	release := make(chan struct{})
	var got bytes.Buffer
	done := make(chan error, 1)
	f := weir.FromReader(bytes.NewReader(data)).Through(Bytes(dir, Options{})).To(gated(&got, release))
	go func() { done <- f.Run(t.Context()) }()
	for full := false; !full; {
		var fs syscall.Statfs_t
		if err := syscall.Statfs(disk, &fs); err != nil {
			t.Fatal(err)
		}
		full = fs.Bfree*uint64(fs.Bsize) < mostData
	}
	close(release)
	err := <-done
	if !errors.Is(err, syscall.ENOSPC) || strings.Contains(err.Error(), ";") {
		t.Errorf("%v", err)
	}
	if n := got.Len(); n < 3<<20 || !bytes.Equal(got.Bytes(), data[:n]) {
		t.Errorf("%d bytes arrived before the error", n)
	}
	expectNothing(t, dir)
}
