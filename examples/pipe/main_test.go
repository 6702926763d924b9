package main

import (
	"bytes"
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/iotest"

	"github.com/weir-go/weir"
)

func someFile(t *testing.T, n int) (path string, content []byte) {
	t.Helper()
	content = bytes.Repeat([]byte("backpressure\n"), n/13)
	path = filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(path, content, 0o600); err != nil {
		t.Fatal(err)
	}
	return path, content
}

func TestRun_DeliversTheFileInBothForms(t *testing.T) {
	path, content := someFile(t, 3<<20)
	var out, info bytes.Buffer
	if err := run(t.Context(), path, &out, &info); err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(out.Bytes(), append(bytes.Clone(content), content...)) {
		t.Errorf("got %d bytes, want the file twice", out.Len())
	}
	if !strings.Contains(info.String(), "of 64 KiB waited in the pipe") {
		t.Errorf("it says %q", info.String())
	}
}

func TestSend_MemoryDoesNotDependOnTheFile(t *testing.T) {
	for _, n := range []int{1 << 20, 8 << 20} {
		path, _ := someFile(t, n)
		report, err := send(t.Context(), path, struct{ io.Writer }{io.Discard})
		if err != nil {
			t.Fatal(err)
		}
		if report.Ceiling > 512<<10 || report.Peak > report.Ceiling {
			t.Errorf("%d bytes: ceiling %d, held %d", n, report.Ceiling, report.Peak)
		}
	}
}

func TestSend_MissingFileIsAnError(t *testing.T) {
	_, err := send(t.Context(), filepath.Join(t.TempDir(), "absent"), io.Discard)
	var stage *weir.StageError
	if !errors.Is(err, fs.ErrNotExist) || !errors.As(err, &stage) || stage.Stage != "read" {
		t.Errorf("error is %v", err)
	}
}

var errDisk = errors.New("disk on fire")

func TestByHand_ReturnsTheErrorOfEitherSide(t *testing.T) {
	src := io.MultiReader(strings.NewReader("the beginning"), iotest.ErrReader(errDisk))
	var dst bytes.Buffer
	n, _, err := byHand(&dst, src)
	if !errors.Is(err, errDisk) || n != 13 || dst.String() != "the beginning" {
		t.Errorf("a failing source: %d bytes, %v", n, err)
	}

	r, w := io.Pipe()
	r.CloseWithError(errDisk)
	if _, _, err := byHand(w, bytes.NewReader(make([]byte, 1<<20))); !errors.Is(err, errDisk) {
		t.Errorf("a failing destination: %v", err)
	}
}
