package atomicfile

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"
	"testing"
)

// noLinks is a file system without hard links. rename, if not nil, replaces Rename.
type noLinks struct {
	Dir
	rename func(from, to string) error
}

func (noLinks) Link(from, to string) error {
	return &os.LinkError{Op: "link", Old: from, New: to, Err: syscall.EPERM}
}

func (d noLinks) Rename(from, to string) error {
	if d.rename != nil {
		return d.rename(from, to)
	}
	return d.Dir.Rename(from, to)
}

// dirs are the ways to name files in a folder: by paths, and below a root.
func dirs(t *testing.T) map[string]struct {
	Dir
	at func(name string) string
} {
	dir := t.TempDir()
	root, err := os.OpenRoot(dir)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { root.Close() })
	byPath := t.TempDir()
	return map[string]struct {
		Dir
		at func(name string) string
	}{
		"paths": {paths{}, func(name string) string { return filepath.Join(byPath, name) }},
		"root":  {root, func(name string) string { return name }},
	}
}

func read(in Dir, name string) (string, error) {
	f, err := in.OpenFile(name, os.O_RDONLY, 0)
	if err != nil {
		return "", err
	}
	defer f.Close()
	b := make([]byte, 100)
	n, _ := f.Read(b)
	return string(b[:n]), nil
}

func create(t *testing.T, in Dir, name, text string) {
	t.Helper()
	f, err := in.OpenFile(name, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o644)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if _, err := f.WriteString(text); err != nil {
		t.Fatal(err)
	}
}

func TestNameNew_NamesAFileOnce(t *testing.T) {
	for _, links := range []bool{true, false} {
		for kind, d := range dirs(t) {
			in := d.Dir
			if !links {
				in = noLinks{Dir: in}
			}
			temp, name := d.at("temp"), d.at("name")
			create(t, in, temp, "one")
			if err := NameNew(in, temp, name); err != nil {
				t.Errorf("%s, links %v: %v", kind, links, err)
			}
			create(t, in, d.at("temp2"), "two")
			if err := NameNew(in, d.at("temp2"), name); !errors.Is(err, fs.ErrExist) {
				t.Errorf("%s, links %v: the name is taken, and the error is %v", kind, links, err)
			}
			if text, err := read(in, name); text != "one" {
				t.Errorf("%s, links %v: %q, %v", kind, links, text, err)
			}
			if text, err := read(in, d.at("temp2")); text != "two" {
				t.Errorf("%s, links %v: the file that got no name: %q, %v", kind, links, text, err)
			}
		}
	}
}

func TestNameNew_RemovesNothingButItsClaim(t *testing.T) {
	boom := errors.New("boom")
	for kind, d := range dirs(t) {
		for what, c := range map[string]struct {
			meanwhile func(name string) // before the rename fails
			left      string            // "": no file
		}{
			"nothing else happened": {func(string) {}, ""},
			"the claim was removed": {func(name string) { d.Remove(name) }, ""},
			"the claim was replaced": {func(name string) {
				create(t, d.Dir, d.at("other"), "theirs")
				if err := d.Dir.Rename(d.at("other"), name); err != nil {
					t.Error(err)
				}
			}, "theirs"},
			"the claim was written": {func(name string) { create(t, d.Dir, name, "theirs") }, "theirs"},
		} {
			temp, name := d.at("temp"), d.at("name")
			create(t, d.Dir, temp, "mine")
			in := noLinks{d.Dir, func(string, string) error { c.meanwhile(name); return boom }}
			if err := NameNew(in, temp, name); !errors.Is(err, boom) {
				t.Errorf("%s, %s: %v", kind, what, err)
			}
			text, err := read(d.Dir, name)
			if text != c.left || c.left == "" && !errors.Is(err, fs.ErrNotExist) {
				t.Errorf("%s, %s: the name leads to %q, %v", kind, what, text, err)
			}
			if text, err := read(d.Dir, temp); text != "mine" {
				t.Errorf("%s, %s: the file holds %q, %v", kind, what, text, err)
			}
			d.Remove(name)
		}
	}
}
