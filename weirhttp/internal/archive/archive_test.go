package archive

import (
	"archive/tar"
	"archive/zip"
	"bytes"
	"errors"
	"io"
	"os"
	"path/filepath"
	"testing"
)

// write writes a folder with n files of one byte.
func write(t *testing.T, kind string, n int, more func() error) ([]byte, error) {
	t.Helper()
	dir := t.TempDir()
	name := filepath.Join(dir, "f")
	if err := os.WriteFile(name, []byte("x"), 0o640); err != nil {
		t.Fatal(err)
	}
	folder, err := os.Stat(dir)
	if err != nil {
		t.Fatal(err)
	}
	file, err := os.Stat(name)
	if err != nil {
		t.Fatal(err)
	}
	var b bytes.Buffer
	a := Formats[kind].New(&b, more)
	if err := a.Folder("d", folder); err != nil {
		return nil, err
	}
	for range n {
		w, err := a.File("d/f", file)
		if err != nil {
			return nil, err
		}
		io.WriteString(w, "x")
	}
	err = a.Close()
	return b.Bytes(), err
}

func TestFormats_WriteFoldersAndFiles(t *testing.T) {
	b, err := write(t, "tar", 1, nil)
	if err != nil {
		t.Fatal(err)
	}
	r := tar.NewReader(bytes.NewReader(b))
	for _, want := range []string{"d/", "d/f"} {
		if h, err := r.Next(); err != nil || h.Name != want {
			t.Fatalf("%+v, %v", h, err)
		}
	}
	if got, err := io.ReadAll(r); err != nil || string(got) != "x" {
		t.Errorf("%q, %v", got, err)
	}
	b, err = write(t, "zip", 1, nil)
	if err != nil {
		t.Fatal(err)
	}
	z, err := zip.NewReader(bytes.NewReader(b), int64(len(b)))
	if err != nil || len(z.File) != 2 || z.File[0].Name != "d/" || z.File[1].Name != "d/f" || z.File[1].UncompressedSize64 != 1 {
		t.Errorf("%+v, %v", z, err)
	}
}

func TestZip_AsksForMemoryAsItGrows(t *testing.T) {
	asked := 0
	if _, err := write(t, "zip", 2*ZipBatch, func() error { asked++; return nil }); err != nil || asked != 2 {
		t.Errorf("asked %d times, %v", asked, err)
	}
	if _, err := write(t, "zip", ZipBatch, func() error { return os.ErrPermission }); !errors.Is(err, os.ErrPermission) {
		t.Errorf("%v", err)
	}
}
