package tree

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"testing"
)

// Between the look at the destination and the moment when a file takes its name,
// another one of that name can appear.
func TestRename_NoClobberReplacesNothingThatAppearsMeanwhile(t *testing.T) {
	dir := t.TempDir()
	root, err := os.OpenRoot(dir)
	if err != nil {
		t.Fatal(err)
	}
	defer root.Close()
	for name, text := range map[string]string{"temp": "new", "taken": "old"} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	j := newJob(&Copy{NoClobber: true})
	if err := j.rename(root, "temp", "taken"); !errors.Is(err, fs.ErrExist) {
		t.Errorf("got %v", err)
	}
	if got, _ := root.ReadFile("taken"); string(got) != "old" {
		t.Errorf("taken is %q", got)
	}
	if err := j.rename(root, "temp", "free"); err != nil {
		t.Error(err)
	}
	if got, _ := root.ReadFile("free"); string(got) != "new" {
		t.Errorf("free is %q", got)
	}
	if _, err := root.Lstat("temp"); err == nil {
		t.Error("the temporary name is left")
	}
}
