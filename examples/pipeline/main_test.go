package main

import (
	"bytes"
	"compress/gzip"
	"context"
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func gunzip(t *testing.T, path string) []byte {
	t.Helper()
	f, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	z, err := gzip.NewReader(f)
	if err != nil {
		t.Fatal(err)
	}
	content, err := io.ReadAll(z)
	if err != nil {
		t.Fatal(err)
	}
	return content
}

func TestCompressFile_ArchiveHoldsTheFile(t *testing.T) {
	input := filepath.Join(t.TempDir(), "input.txt")
	content := bytes.Repeat([]byte("backpressure en streams\n"), 100_000)
	if err := os.WriteFile(input, content, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := compressFile(t.Context(), input, input+".one"); err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(gunzip(t, input+".one"), content) {
		t.Error("the archive holds something else")
	}

	var out strings.Builder
	if err := run(t.Context(), input, &out); err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(gunzip(t, input+".gz"), content) {
		t.Error("the archive holds something else")
	}
	for _, want := range []string{"ceiling", "bottleneck"} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("%q is missing in:\n%s", want, out.String())
		}
	}
}

func TestCompressFile_LeavesNoArchiveWhenItFails(t *testing.T) {
	dir := t.TempDir()
	input := filepath.Join(dir, "input.txt")
	if err := compressFile(t.Context(), input, input+".gz"); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("a missing input: %v", err)
	}
	if err := os.WriteFile(input, make([]byte, 1<<20), 0o600); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := compressFile(ctx, input, input+".gz"); !errors.Is(err, context.Canceled) {
		t.Errorf("cancelled: %v", err)
	}
	if files, _ := os.ReadDir(dir); len(files) != 1 {
		t.Errorf("%d files are there, want the input alone", len(files))
	}
}
