package tree_test

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"reflect"
	"runtime"
	"slices"
	"testing"
	"time"

	"github.com/weir-go/weir/internal/atomicfile"
	"github.com/weir-go/weir/tree"
)

// put writes files and the folders around them.
func put(t *testing.T, dir string, files map[string]string) {
	t.Helper()
	for name, text := range files {
		name = filepath.Join(dir, filepath.FromSlash(name))
		must(t, os.MkdirAll(filepath.Dir(name), 0o755))
		must(t, os.WriteFile(name, []byte(text), 0o644))
	}
}

// texts returns the files of a folder by their path with slashes.
func texts(t *testing.T, dir string) map[string]string {
	t.Helper()
	m := map[string]string{}
	must(t, fs.WalkDir(os.DirFS(dir), ".", func(name string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		b, err := os.ReadFile(filepath.Join(dir, name))
		m[name] = string(b)
		return err
	}))
	return m
}

func wantTexts(t *testing.T, dir string, want map[string]string) {
	t.Helper()
	if got := texts(t, dir); !reflect.DeepEqual(got, want) {
		t.Errorf("%s has %v, want %v", filepath.Base(dir), got, want)
	}
}

func TestCopy_GoesOnAfterAFailureAndSaysWhatFailed(t *testing.T) {
	src, dst := t.TempDir(), t.TempDir()
	put(t, src, map[string]string{"a": "new", "sub/b": "new", "sub/c": "new", "z": "new"})
	put(t, dst, map[string]string{"a/in the way": "old", "sub/c": "old", "z": "old"})
	var failed []string
	c := tree.Copy{From: src, To: dst, Delete: true, Failed: func(err error) {
		var we *tree.WriteError
		if !errors.As(err, &we) {
			t.Errorf("failed: %v", err)
			return
		}
		failed = append(failed, we.Path)
	}}
	err := c.Run(t.Context())
	var ie *tree.IncompleteError
	if !errors.As(err, &ie) || ie.Failed != 1 || !errors.Is(err, tree.ErrFolder) {
		t.Errorf("Run = %v", err)
	}
	if want := []string{filepath.Join(dst, "a")}; !slices.Equal(failed, want) {
		t.Errorf("failed: %v, want %v", failed, want)
	}
	// Nothing was deleted either, since something has failed.
	wantTexts(t, dst, map[string]string{"a/in the way": "old", "sub/b": "new", "sub/c": "new", "z": "new"})
	if p := c.Progress(); p.Files != 3 || p.Failed != 1 || p.FilesFound != 4 {
		t.Errorf("Progress = %+v", p)
	}
	// Without Failed the first failure is the end.
	first := tree.Copy{From: src, To: dst}
	if err := first.Run(t.Context()); !errors.Is(err, tree.ErrFolder) || errors.As(err, &ie) {
		t.Errorf("Run = %v", err)
	}
}

func TestCopy_DeletesWhatTheSourceDoesNotHave(t *testing.T) {
	src, dst := t.TempDir(), t.TempDir()
	put(t, src, map[string]string{"a": "1", "sub/b": "2", "sub/c.o": "not copied"})
	old := map[string]string{
		"a": "old", "extra": "x", "sub/extra": "x", "gone/deep/x": "x", "gone/y": "x",
		"kept.o": "x", "half/kept.o": "x", "half/z": "x",
	}
	put(t, dst, old)
	o := tree.Copy{From: src, To: dst, Delete: true, Exclude: []string{"*.o"}}
	var plan tree.Plan
	plan, err := o.Plan(t.Context())
	must(t, err)
	slices.Sort(plan.Delete)
	var want []string
	for _, name := range []string{"extra", "gone", filepath.Join("half", "z"), filepath.Join("sub", "extra")} {
		want = append(want, filepath.Join(dst, name))
	}
	if !slices.Equal(plan.Delete, want) || plan.Files != 2 || plan.Bytes != 2 {
		t.Errorf("Plan = %+v, want %v", plan, want)
	}
	wantTexts(t, dst, old)

	var deleted []string
	c := tree.Copy{From: src, To: dst, Delete: true, Exclude: []string{"*.o"}, Deleted: func(path string) { deleted = append(deleted, path) }}
	must(t, c.Run(t.Context()))
	wantTexts(t, dst, map[string]string{"a": "1", "sub/b": "2", "kept.o": "x", "half/kept.o": "x"})
	slices.Sort(deleted)
	if !c.Merges() || c.Current() == "" {
		t.Errorf("Merges = %v, Current = %q", c.Merges(), c.Current())
	}
	if p := c.Progress(); !slices.Equal(deleted, want) || p.Deleted != int64(len(want)) {
		t.Errorf("deleted %v, want %v; Progress = %+v", deleted, want, p)
	}
	bad := tree.Copy{From: src, To: dst, Exclude: []string{"["}}
	if err := bad.Run(t.Context()); err == nil {
		t.Error("an invalid pattern is accepted")
	}
}

// symlink makes a symbolic link, or skips the test. Wine reports success and makes
// a file.
func symlink(t *testing.T, target, name string) {
	t.Helper()
	must(t, os.Symlink(target, name))
	if info, err := os.Lstat(name); err != nil || info.Mode()&fs.ModeSymlink == 0 {
		t.Skip("no symbolic links on this file system")
	}
}

func TestPlan_SaysWhatRunDoes(t *testing.T) {
	for _, metadata := range []bool{false, true} {
		src, dst := t.TempDir(), t.TempDir()
		put(t, src, map[string]string{"equal": "same", "sub/changed": "new", "sub/new": "123456", "deep/er/x": "x", "skip.o": "o"})
		symlink(t, "equal", filepath.Join(src, "link"))
		symlink(t, "elsewhere", filepath.Join(src, "other link"))
		symlink(t, "new", filepath.Join(src, "new link"))
		past := time.Now().Add(-time.Hour)
		must(t, os.Chtimes(filepath.Join(src, "equal"), past, past))
		put(t, dst, map[string]string{"equal": "same", "sub/changed": "was longer", "extra/a/b": "x", "extra/a/c.o": "x", "extra/d/e": "x", "skip.o": "x"})
		must(t, os.Chtimes(filepath.Join(dst, "equal"), past, past))
		symlink(t, "equal", filepath.Join(dst, "link"))
		symlink(t, "somewhere", filepath.Join(dst, "other link"))

		var deleted []string
		c := tree.Copy{
			From: src, To: dst, Resume: true, Metadata: metadata, Delete: true, Exclude: []string{"*.o"},
			Deleted: func(path string) { deleted = append(deleted, path) },
		}
		plan, err := (&tree.Copy{From: src, To: dst, Resume: true, Metadata: metadata, Delete: true, Exclude: []string{"*.o"}}).Plan(t.Context())
		must(t, err)
		must(t, c.Run(t.Context()))
		slices.Sort(deleted)
		p := c.Progress()
		did := tree.Plan{Files: p.Files - p.Equal, Bytes: p.Bytes - p.EqualBytes, Equal: p.Equal, Delete: deleted}
		if !reflect.DeepEqual(plan, did) {
			t.Errorf("Plan = %+v, and Run did %+v", plan, did)
		}
		want := []string{filepath.Join(dst, "extra", "a", "b"), filepath.Join(dst, "extra", "d")}
		if plan.Files != 5 || plan.Bytes != 10 || plan.Equal != 2 || !slices.Equal(plan.Delete, want) {
			t.Errorf("Plan = %+v, want 5 files of 10 bytes, 2 equal, without %v", plan, want)
		}
	}
}

func TestCopy_NamesWhatIsInTheWayOfAFolder(t *testing.T) {
	src, dst := t.TempDir(), t.TempDir()
	put(t, src, map[string]string{"a/x": "x", "b/x": "x", "c/x": "x"})
	put(t, dst, map[string]string{"a": "a file"})
	symlink(t, t.TempDir(), filepath.Join(dst, "b"))
	got := map[string]error{}
	c := tree.Copy{From: src, To: dst, Failed: func(err error) {
		var we *tree.WriteError
		if !errors.As(err, &we) {
			t.Fatalf("failed: %v", err)
		}
		got[filepath.Base(we.Path)] = we.Err
	}}
	if err := c.Run(t.Context()); err == nil {
		t.Error("Run succeeded")
	}
	if want := map[string]error{"a": tree.ErrFile, "b": tree.ErrLink}; !reflect.DeepEqual(got, want) {
		t.Errorf("failed: %v, want %v", got, want)
	}
	file := tree.Copy{From: src, To: filepath.Join(dst, "a")}
	if err := file.Run(t.Context()); !errors.Is(err, tree.ErrFile) {
		t.Errorf("Run to a file = %v", err)
	}
}

// What a plan says is what a run then does: the same numbers and failures.
func TestPlan_MeetsTheFailuresOfRun(t *testing.T) {
	for _, c := range []struct {
		name        string
		set         func(*tree.Copy)
		files, size int64
		failed      map[string]error
	}{
		{"merge", func(*tree.Copy) {}, 3, 13, map[string]error{"d": tree.ErrFolder, "l": tree.ErrFolder, "f": tree.ErrFile, "s": tree.ErrLink}},
		{"no clobber", func(c *tree.Copy) { c.NoClobber = true }, 2, 8, map[string]error{"d": fs.ErrExist, "l": fs.ErrExist, "f": tree.ErrFile, "s": tree.ErrLink, "old": fs.ErrExist}},
		{"resume", func(c *tree.Copy) { c.Resume = true }, 3, 13, map[string]error{"d": tree.ErrFolder, "l": tree.ErrFolder, "f": tree.ErrFile, "s": tree.ErrLink}},
		{"delete", func(c *tree.Copy) { c.Delete = true }, 3, 13, map[string]error{"d": tree.ErrFolder, "l": tree.ErrFolder, "f": tree.ErrFile, "s": tree.ErrLink}},
	} {
		t.Run(c.name, func(t *testing.T) {
			src, dst := t.TempDir(), t.TempDir()
			put(t, src, map[string]string{"d": "x", "f/x": "x", "s/x": "x", "old": "newer", "new": "new", "sub/deep": "hello"})
			symlink(t, "nowhere", filepath.Join(src, "l"))
			put(t, dst, map[string]string{"d/x": "x", "l/x": "x", "f": "x", "old": "old", "more": "x"})
			symlink(t, t.TempDir(), filepath.Join(dst, "s"))
			do := func(run func(*tree.Copy) error) map[string]error {
				failed := map[string]error{}
				cp := tree.Copy{From: src, To: dst, Failed: func(err error) {
					var we *tree.WriteError
					if !errors.As(err, &we) {
						t.Fatal(err)
					}
					failed[filepath.Base(we.Path)] = we.Err
				}}
				c.set(&cp)
				var incomplete *tree.IncompleteError
				if err := run(&cp); !errors.As(err, &incomplete) || incomplete.Failed != int64(len(failed)) {
					t.Errorf("%v, want that %d failed", err, len(failed))
				}
				return failed
			}
			var plan tree.Plan
			planned := do(func(cp *tree.Copy) (err error) { plan, err = cp.Plan(t.Context()); return err })
			var done tree.Progress
			ran := do(func(cp *tree.Copy) error { defer func() { done = cp.Progress() }(); return cp.Run(t.Context()) })
			if !reflect.DeepEqual(planned, c.failed) || !reflect.DeepEqual(ran, c.failed) {
				t.Errorf("planned failures %v, failures %v; want %v", planned, ran, c.failed)
			}
			if plan.Files != c.files || plan.Bytes != c.size || len(plan.Delete) > 0 || done.Files != c.files || done.Bytes != c.size {
				t.Errorf("planned %+v, done %+v; want %d files of %d bytes", plan, done, c.files, c.size)
			}
		})
	}
}

func TestResume_TakesNoFileForEqualThatMayDiffer(t *testing.T) {
	src, dst := t.TempDir(), t.TempDir()
	past := time.Now().Add(-time.Hour).Truncate(time.Second)
	put(t, src, map[string]string{"same time": "new", "older source": "new", "size": "longer", "touched": "new"})
	put(t, dst, map[string]string{"same time": "old", "older source": "old", "size": "short", "touched": "old"})
	now := time.Now()
	for name, at := range map[string]time.Time{"same time": past, "older source": past, "size": past, "touched": now} {
		must(t, os.Chtimes(filepath.Join(src, name), at, at))
	}
	// The change of the source is later than the file, although its time is not.
	for name, at := range map[string]time.Time{"same time": past, "older source": past.Add(time.Minute), "size": past, "touched": past} {
		must(t, os.Chtimes(filepath.Join(dst, name), at, at))
	}
	c := tree.Copy{From: src, To: dst, Resume: true}
	must(t, c.Run(t.Context()))
	want := map[string]string{"same time": "old", "older source": "new", "size": "longer", "touched": "new"}
	if runtime.GOOS != "linux" && runtime.GOOS != "darwin" { // no time of change
		want["older source"] = "old"
	}
	wantTexts(t, dst, want)

	c2 := tree.Copy{From: src, To: dst, Resume: true, Checksum: true}
	must(t, c2.Run(t.Context()))
	wantTexts(t, dst, map[string]string{"same time": "new", "older source": "new", "size": "longer", "touched": "new"})
	if p := c2.Progress(); p.Equal != 3 && runtime.GOOS == "linux" || p.Files != 4 {
		t.Errorf("Progress = %+v", p)
	}
	c3 := tree.Copy{From: src, To: dst, Resume: true, Metadata: true}
	must(t, c3.Run(t.Context()))
	for name := range want {
		a, err := os.Stat(filepath.Join(src, name))
		must(t, err)
		b, err := os.Stat(filepath.Join(dst, name))
		must(t, err)
		if !a.ModTime().Equal(b.ModTime()) {
			t.Errorf("%s is of %v, want %v", name, b.ModTime(), a.ModTime())
		}
	}
}

func TestCopy_SweepsWhatAKillLeft(t *testing.T) {
	if !atomicfile.Sweeps {
		t.Skip("nothing is swept here")
	}
	src, dst := t.TempDir(), t.TempDir()
	put(t, src, map[string]string{"sub/a": "new"})
	put(t, dst, map[string]string{
		atomicfile.TempName("b"): "left", "sub/" + atomicfile.TempName("a"): "left", "other/" + atomicfile.TempName("a"): "not looked at",
	})
	c := tree.Copy{From: src, To: dst}
	must(t, c.Run(t.Context()))
	got := texts(t, dst)
	if len(got) != 2 || got["sub/a"] != "new" {
		t.Errorf("left: %v", got)
	}
}

func TestCopy_NoClobberLeavesWhatIsThere(t *testing.T) {
	src, dst := t.TempDir(), t.TempDir()
	put(t, src, map[string]string{"a": "new", "sub/b": "new", "c": "new"})
	symlink(t, "a", filepath.Join(src, "link"))
	put(t, dst, map[string]string{"sub/b": "old", "link": "old"})
	failures := 0
	c := tree.Copy{From: src, To: dst, NoClobber: true, Failed: func(err error) {
		if !errors.Is(err, fs.ErrExist) {
			t.Errorf("failed: %v", err)
		}
		failures++
	}}
	if err := c.Run(t.Context()); !errors.Is(err, fs.ErrExist) || failures != 2 {
		t.Errorf("%d failures, %v", failures, err)
	}
	wantTexts(t, dst, map[string]string{"a": "new", "sub/b": "old", "c": "new", "link": "old"})
	if list, _ := filepath.Glob(filepath.Join(dst, ".*")); len(list) > 0 {
		t.Errorf("left: %q", list)
	}
}
