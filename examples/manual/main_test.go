package main

import (
	"bytes"
	"context"
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"testing"
	"testing/iotest"
	"testing/synctest"

	"github.com/weir-go/weir"
)

func TestCopyFile_IsCompleteWhenItReturns(t *testing.T) {
	dir := t.TempDir()
	source, destination := filepath.Join(dir, "source.mp4"), filepath.Join(dir, "destination.mp4")
	content := bytes.Repeat([]byte("0123456789abcdef"), 1<<18)
	if err := os.WriteFile(source, content, 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := copyFile(t.Context(), source, destination); err != nil {
		t.Fatal(err)
	}
	if got, err := os.ReadFile(destination); err != nil || !bytes.Equal(got, content) {
		t.Errorf("the copy has %d bytes of %d: %v", len(got), len(content), err)
	}
}

func TestFeed_PausesWhileThePipeIsFull(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r, w := weir.NewPipe[byte](weir.Bytes(64 << 10))
		type result struct {
			pauses int
			err    error
		}
		fed := make(chan result, 1)
		go func() {
			pauses, err := feed(t.Context(), w, bytes.NewReader(make([]byte, 256<<10)))
			w.CloseWithError(err)
			fed <- result{pauses, err}
		}()
		synctest.Wait() // until feed can go no further
		if held := r.Stats().Bytes; held != 64<<10 {
			t.Errorf("the pipe holds %d bytes while nobody reads", held)
		}
		n, err := io.Copy(io.Discard, r)
		got := <-fed
		if n != 256<<10 || err != nil || got.err != nil || got.pauses < 1 {
			t.Errorf("%d bytes with %d pauses, errors %v and %v", n, got.pauses, err, got.err)
		}
	})
}

func TestCopyFile_LeavesTheDestinationAloneWhenItFails(t *testing.T) {
	dir := t.TempDir()
	destination := filepath.Join(dir, "destination")
	if err := os.WriteFile(destination, []byte("before"), 0o600); err != nil {
		t.Fatal(err)
	}

	if _, err := copyFile(t.Context(), dir, destination); err == nil {
		t.Error("a folder was copied as if it were a file")
	}
	if _, err := copyFile(t.Context(), filepath.Join(dir, "absent"), destination); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("error is %v", err)
	}
	if _, err := copyFile(t.Context(), destination, filepath.Join(dir, "absent", "copy")); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("error is %v", err)
	}
	big := filepath.Join(dir, "big")
	if err := os.WriteFile(big, make([]byte, 1<<20), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := copyFile(t.Context(), big, ""); err == nil {
		t.Error("a file was copied to nowhere")
	}
	if got, err := os.ReadFile(destination); err != nil || string(got) != "before" {
		t.Errorf("the destination is %q: %v", got, err)
	}
	if files, _ := os.ReadDir(dir); len(files) != 2 {
		t.Errorf("%d files are there, want 2", len(files))
	}
}

func TestFeed_LeavesItsPauseWhenItsContextEnds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		_, w := weir.NewPipe[byte](weir.Bytes(16))
		fed := make(chan error, 1)
		go func() {
			_, err := feed(ctx, w, iotest.OneByteReader(bytes.NewReader(make([]byte, 100))))
			fed <- err
		}()
		synctest.Wait()
		cancel()
		if err := <-fed; !errors.Is(err, context.Canceled) {
			t.Errorf("error is %v", err)
		}
	})
}
