package endpoint_test

import (
	"bytes"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/weir-go/weir"
	"github.com/weir-go/weir/endpoint"
)

func TestLocal_NamesAreRecognised(t *testing.T) {
	if runtime.GOOS == "windows" {
		t.Skip("paths of Unix")
	}
	for name, want := range map[string]string{
		"a/b":                  "a/b",
		"-":                    "-",
		"C:x":                  "C:x",
		"a b://c":              "a b://c",
		"./s3://x":             "./s3://x",
		"file:///a/b%20c":      "/a/b c",
		"FILE://localhost/a":   "/a",
		"http://h/p":           "",
		"s3://bucket/key":      "",
		"file://elsewhere/a":   "",
		"file:///a?b":          "",
		"file://me:hush@/path": "",
	} {
		got, ok := endpoint.Local(name)
		if got != want || ok != (want != "") {
			t.Errorf("Local(%q) = %q, %v", name, got, ok)
		}
	}
}

func TestLocal_FilesAreCopiedByPathAndByURL(t *testing.T) {
	dir := t.TempDir()
	want := content(100_000)
	src, dst := filepath.Join(dir, "src"), filepath.Join(dir, "dst")
	if err := os.WriteFile(src, want, 0o666); err != nil {
		t.Fatal(err)
	}
	in := input(t, fileURL(src), endpoint.SourceOptions{})
	out, err := endpoint.Sink(fileURL(dst), endpoint.SinkOptions{Exclusive: true})
	if err != nil {
		t.Fatal(err)
	}
	if err := in.Stream().To(out).Run(t.Context()); err != nil {
		t.Fatal(err)
	}
	if got, _ := os.ReadFile(dst); !bytes.Equal(got, want) {
		t.Errorf("%d bytes", len(got))
	}
	if err := in.Stream().To(out).Run(t.Context()); !errors.Is(err, fs.ErrExist) {
		t.Errorf("a second time: %v", err)
	}
	known, err := in.Stat(t.Context())
	if err != nil || known.Name != "src" || known.Size != 100_000 || !known.Resumable || known != in.Info() {
		t.Errorf("%+v, %v", known, err)
	}
	if _, err := input(t, filepath.Join(dir, "none"), endpoint.SourceOptions{}).Stat(t.Context()); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("Stat of nothing: %v", err)
	}
	if known, err := input(t, dir+"/.", endpoint.SourceOptions{}).Stat(t.Context()); err != nil || known.Size != -1 || known.Resumable {
		t.Errorf("Stat of a folder: %+v, %v", known, err)
	}
}

func TestLocal_FileGoesOnOnlyIfItIsTheSame(t *testing.T) {
	dir := t.TempDir()
	want := content(100_000)
	src, dst := filepath.Join(dir, "src"), filepath.Join(dir, "dst")
	if err := os.WriteFile(src, want, 0o666); err != nil {
		t.Fatal(err)
	}
	known, err := input(t, src, endpoint.SourceOptions{}).Stat(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	o := endpoint.SourceOptions{Offset: 40_000, Validator: known.Validator}
	goOn := func() error {
		t.Helper()
		if err := os.WriteFile(dst, want[:40_000], 0o666); err != nil {
			t.Fatal(err)
		}
		out, err := endpoint.Sink(dst, endpoint.SinkOptions{Offset: 40_000})
		if err != nil {
			t.Fatal(err)
		}
		return input(t, src, o).Stream().To(out).Run(t.Context())
	}
	if err := goOn(); err != nil {
		t.Fatal(err)
	}
	if got, _ := os.ReadFile(dst); !bytes.Equal(got, want) {
		t.Errorf("%d bytes", len(got))
	}
	if err := os.Chtimes(src, time.Time{}, time.Now().Add(time.Hour)); err != nil {
		t.Fatal(err)
	}
	if err := goOn(); !errors.Is(err, endpoint.ErrChanged) {
		t.Errorf("after a change: %v", err)
	}
	if got, _ := os.ReadFile(dst); len(got) != 40_000 {
		t.Errorf("%d bytes after the refusal", len(got))
	}
}

func TestLocal_FileOfAnotherLengthIsNotContinued(t *testing.T) {
	dst := filepath.Join(t.TempDir(), "dst")
	if err := os.WriteFile(dst, make([]byte, 11), 0o666); err != nil {
		t.Fatal(err)
	}
	out, err := endpoint.Sink(dst, endpoint.SinkOptions{Offset: 10})
	if err != nil {
		t.Fatal(err)
	}
	if err := weir.FromSlice(make([]byte, 5)).To(out).Run(t.Context()); err == nil {
		t.Error("it was continued")
	}
	if got, _ := os.ReadFile(dst); len(got) != 11 {
		t.Errorf("it has %d bytes now", len(got))
	}
}

// fileURL is the URL of a path, which begins with a drive on Windows.
func fileURL(path string) string { return "file:///" + strings.TrimPrefix(filepath.ToSlash(path), "/") }
