package tree_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/weir-go/weir/tree"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// source makes a folder with files of many sizes, folders in folders, an empty
// folder and, where the system has them, symbolic links.
func source(t *testing.T) string {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "src")
	for i := range 300 {
		sub := filepath.Join(dir, fmt.Sprint("d", i%7), fmt.Sprint("e", i%3))
		must(t, os.MkdirAll(sub, 0o755))
		must(t, os.WriteFile(filepath.Join(sub, fmt.Sprint("f", i)), bytes.Repeat([]byte{byte(i)}, i*37), 0o640))
	}
	must(t, os.WriteFile(filepath.Join(dir, "long"), bytes.Repeat([]byte("long"), 200_000), 0o600))
	must(t, os.WriteFile(filepath.Join(dir, "empty"), nil, 0o600))
	must(t, os.Mkdir(filepath.Join(dir, "nothing in it"), 0o755))
	if runtime.GOOS != "windows" {
		must(t, os.Symlink("../nowhere", filepath.Join(dir, "d1", "link")))
	}
	return dir
}

// list describes a folder: names, modes, contents.
func list(t *testing.T, dir string) map[string]string {
	t.Helper()
	m := map[string]string{}
	must(t, filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		must(t, err)
		rel, _ := filepath.Rel(dir, path)
		info, err := d.Info()
		must(t, err)
		switch {
		case d.Type().IsRegular():
			b, err := os.ReadFile(path)
			must(t, err)
			m[rel] = info.Mode().String() + string(b)
		case d.Type()&fs.ModeSymlink != 0:
			to, err := os.Readlink(path)
			must(t, err)
			m[rel] = "→ " + to
		default:
			m[rel] = info.Mode().String()
		}
		return nil
	}))
	return m
}

func same(t *testing.T, got, want map[string]string) {
	t.Helper()
	for name, w := range want {
		if g, ok := got[name]; !ok || g != w {
			t.Errorf("%s: %.40q, want %.40q", name, g, w)
		}
	}
	for name := range got {
		if _, ok := want[name]; !ok {
			t.Errorf("%s should not be there", name)
		}
	}
}

func openFiles(t *testing.T) int {
	t.Helper()
	if runtime.GOOS != "linux" {
		return 0
	}
	list, err := os.ReadDir("/proc/self/fd")
	must(t, err)
	return len(list)
}

func TestCopy_IsTheSame(t *testing.T) {
	src := source(t)
	dst := filepath.Join(t.TempDir(), "dst")
	before := openFiles(t)
	c := tree.Copy{From: src, To: dst}
	must(t, c.Run(t.Context()))
	same(t, list(t, dst), list(t, src))
	p := c.Progress()
	if p.Files < 302 || !p.Walked || p.Bytes != p.Found || p.Bytes < 800_000 {
		t.Errorf("Progress = %+v", p)
	}
	if after := openFiles(t); after != before {
		t.Errorf("%d files are open, %d were", after, before)
	}
}

func TestMetadata_IsKeptOnRequest(t *testing.T) {
	src := source(t)
	then := time.Now().Add(-1000 * time.Hour).Truncate(time.Second)
	deep := filepath.Join("d1", "e0")
	for _, name := range []string{filepath.Join(deep, "f15"), deep, "d1"} {
		must(t, os.Chtimes(filepath.Join(src, name), then, then))
	}
	must(t, os.Chmod(filepath.Join(src, deep), 0o500))
	defer os.Chmod(filepath.Join(src, deep), 0o700)
	dst := filepath.Join(t.TempDir(), "dst")
	c := tree.Copy{From: src, To: dst, Metadata: true, Durable: true}
	must(t, c.Run(t.Context()))
	defer os.Chmod(filepath.Join(dst, deep), 0o700)
	same(t, list(t, dst), list(t, src))
	for _, name := range []string{filepath.Join(deep, "f15"), deep, "d1"} {
		st, err := os.Stat(filepath.Join(dst, name))
		must(t, err)
		if !st.ModTime().Equal(then) {
			t.Errorf("%s is of %v, want %v", name, st.ModTime(), then)
		}
	}
}

func TestMerge_ReplacesFilesAsAWholeAndKeepsOthers(t *testing.T) {
	src := source(t)
	dst := filepath.Join(t.TempDir(), "dst")
	must(t, os.MkdirAll(filepath.Join(dst, "d1", "e0"), 0o755))
	must(t, os.WriteFile(filepath.Join(dst, "d1", "e0", "f15"), []byte("old"), 0o600))
	must(t, os.WriteFile(filepath.Join(dst, "mine"), []byte("kept"), 0o600))
	mine := list(t, dst)["mine"]
	c := tree.Copy{From: src, To: dst}
	must(t, c.Run(t.Context()))
	want := list(t, src)
	want["mine"] = mine
	if runtime.GOOS != "windows" {
		f15 := filepath.Join("d1", "e0", "f15")
		want[f15] = "-rw-------" + want[f15][len("-rw-------"):] // as copying one file
	}
	want["."] = list(t, dst)["."]
	same(t, list(t, dst), want)
}

func TestCopy_LeavesNothingWhenItFails(t *testing.T) {
	src := source(t)
	parent := t.TempDir()
	before := openFiles(t)
	ctx, cancel := context.WithCancelCause(t.Context())
	stop := errors.New("stop")
	c := tree.Copy{From: src, To: filepath.Join(parent, "dst"), Workers: 1, Skip: func(string, fs.FileMode) {}}
	cancel(stop)
	if err := c.Run(ctx); !errors.Is(err, stop) {
		t.Errorf("Run = %v", err)
	}
	if left := list(t, parent); len(left) != 1 {
		t.Errorf("left: %v", left)
	}
	if after := openFiles(t); after != before {
		t.Errorf("%d files are open, %d were", after, before)
	}
}

func TestCopy_NamesAFileThatCannotBeRead(t *testing.T) {
	if os.Geteuid() == 0 || runtime.GOOS == "windows" {
		t.Skip("permissions do not hold back this user")
	}
	src := source(t)
	name := filepath.Join(src, "d1", "e0", "f15")
	must(t, os.Chmod(name, 0))
	parent := t.TempDir()
	c := tree.Copy{From: src, To: filepath.Join(parent, "dst")}
	err := c.Run(t.Context())
	if !errors.Is(err, fs.ErrPermission) || !strings.Contains(fmt.Sprint(err), name) {
		t.Errorf("Run = %v", err)
	}
	if left := list(t, parent); len(left) != 1 {
		t.Errorf("left: %v", left)
	}
}

func TestCopy_RefusesAFolderInsideItself(t *testing.T) {
	src := source(t)
	for _, to := range []string{src, filepath.Join(src, "in"), filepath.Join(src, "d1", "x", "y"), src + "/../src/z"} {
		c := tree.Copy{From: src, To: to}
		if err := c.Run(t.Context()); !errors.Is(err, tree.ErrInside) {
			t.Errorf("into %s: %v", to, err)
		}
	}
	if runtime.GOOS == "windows" {
		return
	}
	link := filepath.Join(t.TempDir(), "link")
	must(t, os.Symlink(src, link))
	c := tree.Copy{From: src, To: filepath.Join(link, "in")}
	if err := c.Run(t.Context()); !errors.Is(err, tree.ErrInside) {
		t.Errorf("through a link: %v", err)
	}
}

func TestCopy_RefusesWrongEnds(t *testing.T) {
	src := source(t)
	file := filepath.Join(src, "long")
	for _, c := range []*tree.Copy{
		{From: filepath.Join(src, "none"), To: filepath.Join(t.TempDir(), "dst")},
		{From: file, To: filepath.Join(t.TempDir(), "dst")},
		{From: filepath.Join(src, "d1"), To: file},
		{From: filepath.Join(src, "d1"), To: filepath.Join(t.TempDir(), "no", "dst")},
	} {
		if err := c.Run(t.Context()); err == nil {
			t.Errorf("%s → %s went well", c.From, c.To)
		}
	}
}

func TestResume_LeavesOutWhatIsThere(t *testing.T) {
	src := source(t)
	dst := filepath.Join(t.TempDir(), "dst")
	first := tree.Copy{From: src, To: dst, KeepPartial: true, Verify: true, Rate: 1 << 40}
	must(t, first.Run(t.Context()))
	kept := filepath.Join(dst, "d1", "e0", "f15")
	before, err := os.Stat(kept)
	must(t, err)
	must(t, os.Remove(filepath.Join(dst, "long")))
	again := tree.Copy{From: src, To: dst, Resume: true}
	must(t, again.Run(t.Context()))
	same(t, list(t, dst), list(t, src))
	if after, err := os.Stat(kept); err != nil || !os.SameFile(before, after) {
		t.Errorf("%s was copied again (%v)", kept, err)
	}
	if p := again.Progress(); p.Bytes != p.Found {
		t.Errorf("Progress = %+v", p)
	}
}

func TestRate_WaitEndsWithTheDeadline(t *testing.T) {
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	to := filepath.Join(t.TempDir(), "to")
	c := &tree.Copy{From: source(t), To: to, Rate: 1}
	if err := c.Run(ctx); !errors.Is(err, context.DeadlineExceeded) || ctx.Err() == nil {
		t.Errorf("Run = %v", err)
	}
	if _, err := os.Lstat(to); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("the copy is there: %v", err)
	}
}
