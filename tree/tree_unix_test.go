//go:build unix

package tree_test

import (
	"errors"
	"io/fs"
	"path/filepath"
	"syscall"
	"testing"

	"github.com/weir-go/weir/tree"
)

func TestSpecialFilesAreToldOrRefused(t *testing.T) {
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
