package dirents

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"testing"
)

func TestRead_ReturnsWhatPackageOSReturns(t *testing.T) {
	dir := t.TempDir()
	for i := range 2500 {
		if err := os.WriteFile(filepath.Join(dir, fmt.Sprintf("a longer name than most, number %d", i)), make([]byte, i), 0o640); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Mkdir(filepath.Join(dir, "folder"), 0o750); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink("folder", filepath.Join(dir, "link")); err != nil {
		t.Log("no symbolic links: ", err)
	}
	want, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	root, err := os.OpenRoot(dir)
	if err != nil {
		t.Fatal(err)
	}
	defer root.Close()
	f, err := root.Open(".")
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	got := map[string]fs.DirEntry{}
	for r := New(f); ; {
		list, err := r.Read(100)
		if errors.Is(err, io.EOF) && len(list) == 0 {
			break
		}
		if err != nil || len(list) > 100 {
			t.Fatalf("%d entries, %v", len(list), err)
		}
		for _, e := range list {
			got[e.Name()] = e
		}
	}
	if len(got) != len(want) {
		t.Fatalf("%d entries, want %d", len(got), len(want))
	}
	for _, w := range want {
		e := got[w.Name()]
		if e == nil || e.Type() != w.Type() || e.IsDir() != w.IsDir() {
			t.Fatalf("%s: %v, want %v", w.Name(), e, w)
		}
		i, err := e.Info()
		j, jerr := w.Info()
		if err != nil || jerr != nil || i.Name() != j.Name() || i.Mode() != j.Mode() || !i.ModTime().Equal(j.ModTime()) || !i.IsDir() && i.Size() != j.Size() {
			t.Fatalf("%s: %v %v, want %v %v", w.Name(), i, err, j, jerr)
		}
	}
	if err := os.Remove(filepath.Join(dir, "folder")); err != nil {
		t.Fatal(err)
	}
	if _, err := got["folder"].Info(); err != nil && !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("a folder that is gone: %v", err)
	}
	file, err := os.Open(filepath.Join(dir, want[0].Name()))
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	if _, err := New(file).Read(1); err == nil || err == io.EOF {
		t.Errorf("a file that is no folder: %v", err)
	}
}
