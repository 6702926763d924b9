//go:build unix

package tree_test

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"
	"testing"

	"github.com/weir-go/weir/tree"
)

func TestSkip_IsToldSpecialFilesOrTheyAreRefused(t *testing.T) {
	src := source(t)
	pipe := filepath.Join(src, "d2", "pipe")
	must(t, syscall.Mkfifo(pipe, 0o600))
	parent := t.TempDir()
	c := tree.Copy{From: src, To: filepath.Join(parent, "dst")}
	if err := c.Run(t.Context()); !errors.Is(err, tree.ErrSpecial) {
		t.Errorf("Run = %v", err)
	}
	if left := list(t, parent); len(left) != 1 {
		t.Errorf("left: %v", left)
	}
	var skipped []string
	c2 := tree.Copy{From: src, To: filepath.Join(parent, "dst"), Skip: func(path string, _ fs.FileMode) { skipped = append(skipped, path) }}
	must(t, c2.Run(t.Context()))
	if len(skipped) != 1 || skipped[0] != pipe {
		t.Errorf("skipped %v", skipped)
	}
}

func TestCopy_ReplacesNoFolderThatAppearedMeanwhile(t *testing.T) {
	src, dst := t.TempDir(), filepath.Join(t.TempDir(), "new")
	put(t, src, map[string]string{"a": "mine"})
	must(t, syscall.Mkfifo(filepath.Join(src, "pipe"), 0o600))
	c := tree.Copy{From: src, To: dst, Skip: func(string, fs.FileMode) {
		other := tree.Copy{From: src, To: dst, Skip: func(string, fs.FileMode) {}}
		must(t, other.Run(t.Context()))
		put(t, dst, map[string]string{"a": "theirs"})
	}}
	err := c.Run(t.Context())
	var we *tree.WriteError
	if !errors.As(err, &we) || we.Path != dst || !errors.Is(err, tree.ErrAppeared) {
		t.Errorf("Run = %v", err)
	}
	wantTexts(t, dst, map[string]string{"a": "theirs"})
	if list, err := os.ReadDir(filepath.Dir(dst)); err != nil || len(list) != 1 {
		t.Errorf("beside it: %v, %v", list, err)
	}
}
