//go:build unix

package tree_test

import (
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"syscall"
	"testing"
	"time"

	"github.com/weir-go/weir/tree"
)

func TestMetadata_KeepsHardLinks(t *testing.T) {
	src, parent := t.TempDir(), t.TempDir()
	put(t, src, map[string]string{"a": "text", "other": "text"})
	for _, name := range []string{"b", "sub/c", "sub/d"} {
		must(t, os.MkdirAll(filepath.Dir(filepath.Join(src, name)), 0o755))
		must(t, os.Link(filepath.Join(src, "a"), filepath.Join(src, name)))
	}
	inode := func(name string) uint64 {
		st, err := os.Lstat(name)
		must(t, err)
		return st.Sys().(*syscall.Stat_t).Ino
	}
	dst := filepath.Join(parent, "dst")
	for range 3 { // whole, over itself, and resumed
		for _, resume := range []bool{false, true} {
			c := tree.Copy{From: src, To: dst, Metadata: true, Resume: resume}
			must(t, c.Run(t.Context()))
			wantTexts(t, dst, texts(t, src))
			if p := c.Progress(); p.Bytes != 8 || p.Found != 8 {
				t.Errorf("resume %v: %d bytes of %d, want only those of the two files", resume, p.Bytes, p.Found)
			}
			a := inode(filepath.Join(dst, "a"))
			for _, name := range []string{"b", "sub/c", "sub/d"} {
				if inode(filepath.Join(dst, name)) != a {
					t.Errorf("resume %v: %s is another file than a", resume, name)
				}
			}
			if inode(filepath.Join(dst, "other")) == a {
				t.Error("two files have become one")
			}
		}
	}
	c := tree.Copy{From: src, To: filepath.Join(parent, "plain")}
	must(t, c.Run(t.Context()))
	if inode(filepath.Join(parent, "plain", "a")) == inode(filepath.Join(parent, "plain", "b")) {
		t.Error("links are kept where nobody asked for it")
	}
}

func TestMetadata_OfSymbolicLinks(t *testing.T) {
	if runtime.GOOS != "linux" {
		t.Skip("times of symbolic links are kept on Linux")
	}
	src := t.TempDir()
	must(t, os.Symlink("nowhere", filepath.Join(src, "link")))
	if out, err := exec.Command("touch", "-h", "-d", "2001-02-03 04:05:06 UTC", filepath.Join(src, "link")).CombinedOutput(); err != nil {
		t.Skipf("touch: %v %s", err, out)
	}
	dst := filepath.Join(t.TempDir(), "dst")
	for range 2 {
		c := tree.Copy{From: src, To: dst, Metadata: true, Resume: true}
		must(t, c.Run(t.Context()))
		st, err := os.Lstat(filepath.Join(dst, "link"))
		must(t, err)
		if want := time.Date(2001, 2, 3, 4, 5, 6, 0, time.UTC); !st.ModTime().Equal(want) || st.Mode()&fs.ModeSymlink == 0 {
			t.Errorf("%v of %v", st.Mode(), st.ModTime())
		}
	}
}

func TestCopy_KeepsHolesOnEveryWay(t *testing.T) {
	src := t.TempDir()
	const size = 8 << 20
	for name, length := range map[string]int64{"long": size, "short": 100 << 10} {
		f, err := os.Create(filepath.Join(src, name))
		must(t, err)
		_, err = f.WriteAt([]byte("end"), length-3)
		must(t, err)
		must(t, f.Close())
	}
	allocated := func(name string) int64 {
		st, err := os.Stat(name)
		must(t, err)
		return st.Sys().(*syscall.Stat_t).Blocks * 512
	}
	if allocated(filepath.Join(src, "long")) >= size {
		t.Skip("no holes on this file system")
	}
	for name, c := range map[string]*tree.Copy{
		"plain": {}, "rate": {Rate: 1 << 30}, "verify": {Verify: true}, "metadata": {Metadata: true}, "durable": {Durable: true},
		"partial": {KeepPartial: true}, "resume": {Resume: true},
	} {
		c.From, c.To = src, filepath.Join(t.TempDir(), "dst")
		must(t, c.Run(t.Context()))
		wantTexts(t, c.To, texts(t, src))
		if n := allocated(filepath.Join(c.To, "long")); n > size/2 {
			t.Errorf("%s: the long file takes %d bytes", name, n)
		}
		if n := allocated(filepath.Join(c.To, "short")); n > 50<<10 {
			t.Errorf("%s: the short file takes %d bytes", name, n)
		}
	}
}

func TestCopy_OfFilesThatChange(t *testing.T) {
	src, parent := t.TempDir(), t.TempDir()
	must(t, os.WriteFile(filepath.Join(src, "a"), make([]byte, 3<<20), 0o600))
	appendTo := func() {
		f, err := os.OpenFile(filepath.Join(src, "a"), os.O_WRONLY|os.O_APPEND, 0)
		must(t, err)
		_, err = f.Write([]byte("more"))
		must(t, err)
		must(t, f.Close())
	}
	// The copy is slowed down until the file has changed.
	run := func(c *tree.Copy, change func()) error {
		c.From, c.To, c.Rate = src, filepath.Join(parent, "dst"), 8<<20
		done := make(chan error)
		go func() { done <- c.Run(t.Context()) }()
		for c.Progress().Bytes == 0 {
			runtime.Gosched()
		}
		change()
		return <-done
	}
	var told []string
	must(t, run(&tree.Copy{Changed: func(path, how string) { told = append(told, filepath.Base(path)+" "+how) }}, appendTo))
	if len(told) != 1 || told[0] != "a grew from 3145728 to 3145732 bytes" {
		t.Errorf("told: %q", told)
	}
	must(t, os.RemoveAll(filepath.Join(parent, "dst")))
	failed := 0
	err := run(&tree.Copy{Failed: func(error) { failed++ }}, func() { must(t, os.Truncate(filepath.Join(src, "a"), 5)) })
	if err == nil || failed != 1 {
		t.Errorf("a file that shrank: %v, %d failures", err, failed)
	}
	wantTexts(t, filepath.Join(parent, "dst"), map[string]string{})
}
