package openfile

import (
	"os"
	"path/filepath"
	"testing"
)

func TestShelf_SharesAFileUntilTheLastRelease(t *testing.T) {
	name := filepath.Join(t.TempDir(), "a.html")
	if err := os.WriteFile(name, []byte("text"), 0o600); err != nil {
		t.Fatal(err)
	}
	var s Shelf
	put := func(shared bool) *File {
		f, err := os.Open(name)
		if err != nil {
			t.Fatal(err)
		}
		info, err := f.Stat()
		if err != nil {
			t.Fatal(err)
		}
		return s.Put(f, info, shared)
	}
	a, b, own := put(true), put(true), put(false)
	if !own.Own || own == a {
		t.Error("a file that must not be shared is")
	}
	if !a.ID.IsZero() && a != b {
		t.Error("one file is open twice")
	}
	if a.Tag() != b.Tag() || a.Tag() != Tag(a.Modified, 4, a.ID) {
		t.Errorf("tags %s and %s", a.Tag(), b.Tag())
	}
	if kind := a.ContentType("x"); kind != "text/plain; charset=utf-8" {
		t.Errorf("by its content it is %s", kind)
	}
	a.Release()
	if _, err := b.ReadAt(make([]byte, 1), 0); err != nil {
		t.Errorf("the first Release closed it: %v", err)
	}
	b.Release()
	own.Release()
	var none *File
	none.Release()
	if _, err := b.ReadAt(make([]byte, 1), 0); err == nil || len(s.files) != 0 {
		t.Errorf("it is still open: %v, %d files", err, len(s.files))
	}
}
