package durable_test

import (
	"bytes"
	"context"
	"errors"
	"os"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"github.com/weir-go/weir/durable"
)

func TestFile_ContinuesWhenAFullDiskHasRoomAgain(t *testing.T) {
	dir := t.TempDir()
	if err := syscall.Mount("weir", dir, "tmpfs", 0, "size=1m"); err != nil {
		t.Skip("cannot mount a small file system:", err)
	}
	t.Cleanup(func() { syscall.Unmount(dir, 0) })
	data := text(3 << 20)
	src := &memorySource{version: "v", data: data}
	dst := filepath.Join(dir, "result")
	flow := durable.Flow(src, hundredth{durable.File(dst, 0o666)}, durable.Options{})
	for range 2 {
		if err := flow.Run(context.Background()); !errors.Is(err, syscall.ENOSPC) {
			t.Fatalf("error %v, want that of a full disk", err)
		}
	}
	if err := syscall.Mount("weir", dir, "tmpfs", syscall.MS_REMOUNT, "size=8m"); err != nil {
		t.Fatal(err)
	}
	before := src.read
	if err := flow.Run(context.Background()); err != nil {
		t.Fatal(err)
	}
	if got, err := os.ReadFile(dst); err != nil || !bytes.Equal(got, data) {
		t.Errorf("%d bytes, %v", len(got), err)
	}
	if n := src.read - before; n >= int64(len(data)) {
		t.Errorf("the last run read %d bytes: it began at the beginning", n)
	}
}

// hundredth saves after every 30,000 bytes.
type hundredth struct{ durable.Sink }

func (hundredth) Pace() (int64, time.Duration, time.Duration) { return 30_000, time.Hour, time.Hour }
