//go:build unix

package atomicfile

import (
	"os"
	"path/filepath"
	"sync"
	"syscall"
	"testing"

	"github.com/weir-go/weir/internal/lock"
)

func TestSweep_RemovesWhatNobodyHolds(t *testing.T) {
	dir := t.TempDir()
	used := openFile(t, filepath.Join(dir, "used"), Options{})
	write(t, used, "new")
	put(t, filepath.Join(dir, TempName("left")), "left by a process that was killed")
	folder := filepath.Join(dir, TempName("folder"))
	if err := os.MkdirAll(filepath.Join(folder, "a", "b"), 0o700); err != nil {
		t.Fatal(err)
	}
	held := filepath.Join(dir, TempName("held folder"))
	if err := os.Mkdir(held, 0o700); err != nil {
		t.Fatal(err)
	}
	h, err := os.Open(held)
	if err != nil {
		t.Fatal(err)
	}
	defer h.Close()
	if err := lock.Try(h); err != nil {
		t.Skip("no locks here:", err)
	}
	for _, name := range []string{"mine", ".mine.weir-abcdefghijklmnop.tmp"} {
		put(t, filepath.Join(dir, name), "kept")
	}
	if err := os.Symlink("mine", filepath.Join(dir, TempName("link"))); err != nil {
		t.Fatal(err)
	}
	if n := SweepDir(dir); n != 2 {
		t.Errorf("%d removed, want the file and the folder", n)
	}
	list, err := os.ReadDir(dir)
	if err != nil || len(list) != 5 { // used, held, mine, .mine, link
		t.Errorf("left: %v, %v", list, err)
	}
	commit(t, used)
	want(t, filepath.Join(dir, "used"), "new")
	want(t, filepath.Join(dir, "mine"), "kept")
}

// However many sweeps run, no file that is being written is lost.
func TestSweep_TakesNoFileFromARun(t *testing.T) {
	dir := t.TempDir()
	stop := make(chan struct{})
	var sweepers sync.WaitGroup
	for range 2 {
		sweepers.Go(func() {
			for {
				select {
				case <-stop:
					return
				default:
					SweepDir(dir)
				}
			}
		})
	}
	for _, mode := range []Mode{Replace, Exclusive} {
		for range 300 {
			f := openFile(t, filepath.Join(dir, "out"), Options{Mode: mode})
			write(t, f, "whole")
			commit(t, f)
			want(t, filepath.Join(dir, "out"), "whole")
			if err := os.Remove(filepath.Join(dir, "out")); err != nil {
				t.Fatal(err)
			}
		}
	}
	close(stop)
	sweepers.Wait()
	wantOnly(t, dir)
}

func TestSparse_WritesNoZerosWhereTheSourceHasHoles(t *testing.T) {
	const size = 8 << 20
	for _, c := range []struct {
		name  string
		opts  Options
		old   int // bytes that are there
		holes bool
	}{
		{"new", Options{}, -1, true},
		{"replaced", Options{}, 10, true},
		{"straight", Options{Mode: Truncate}, 10, true},
		{"continued at its end", Options{Mode: InPlace, Offset: 4096}, 4096, true},
		{"written over", Options{Mode: InPlace, Offset: 4096}, 2 * size, false},
		{"appended", Options{Mode: Append}, 10, false},
	} {
		path := filepath.Join(t.TempDir(), "out")
		if c.old >= 0 {
			b := make([]byte, c.old)
			for i := range b {
				b[i] = 1
			}
			put(t, path, string(b))
		}
		c.opts.Sparse = func() bool { return true }
		f := openFile(t, path, c.opts)
		write(t, f, string(make([]byte, size)))
		write(t, f, "end")
		write(t, f, string(make([]byte, size)))
		commit(t, f)
		b, err := os.ReadFile(path)
		at := int(c.opts.Offset)
		if c.opts.Mode == Append {
			at = c.old
		}
		if err != nil || len(b) < at+2*size+3 || string(b[at+size:at+size+3]) != "end" {
			t.Errorf("%s: %d bytes, %v", c.name, len(b), err)
			continue
		}
		for i, got := range b[at:] {
			if got != 0 && i < 2*size+3 && (i < size || i >= size+3) {
				t.Errorf("%s: byte %d is %d", c.name, i, got)
				break
			}
		}
		if blocks := allocated(t, path); (blocks < size) != c.holes {
			t.Errorf("%s: %d bytes are allocated", c.name, blocks)
		}
	}
}

// allocated is how many bytes of storage a file takes.
func allocated(t *testing.T, path string) int64 {
	t.Helper()
	info, err := os.Stat(path)
	if err != nil {
		t.Fatal(err)
	}
	return info.Sys().(*syscall.Stat_t).Blocks * 512
}
