package atomicfile

import (
	"bytes"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"syscall"
	"testing"
)

func openFile(t *testing.T, path string, o Options) *File {
	t.Helper()
	f, err := Open(t.Context(), path, o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { f.Abort() })
	return f
}

func write(t *testing.T, f *File, s string) {
	t.Helper()
	if n, err := f.Write([]byte(s)); n != len(s) || err != nil {
		t.Fatalf("Write = %d, %v", n, err)
	}
}

func commit(t *testing.T, f *File) {
	t.Helper()
	if err := f.Commit(); err != nil {
		t.Fatal(err)
	}
}

func put(t *testing.T, path, s string) {
	t.Helper()
	if err := os.WriteFile(path, []byte(s), 0o644); err != nil {
		t.Fatal(err)
	}
}

func want(t *testing.T, path, s string) {
	t.Helper()
	if b, err := os.ReadFile(path); err != nil || string(b) != s {
		t.Errorf("%s holds %q, %v; want %q", filepath.Base(path), b, err, s)
	}
}

// wantOnly fails if the directory holds anything but the named files.
func wantOnly(t *testing.T, dir string, names ...string) {
	t.Helper()
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, e := range entries {
		got = append(got, e.Name())
	}
	if strings.Join(got, " ") != strings.Join(names, " ") {
		t.Errorf("directory holds %q, want %q", got, names)
	}
}

func TestReplace_IsInvisibleUntilCommitted(t *testing.T) {
	for _, sync := range []bool{false, true} {
		dir := t.TempDir()
		path := filepath.Join(dir, "out")
		put(t, path, "old")
		f := openFile(t, path, Options{Sync: sync})
		write(t, f, "brand new")
		want(t, path, "old")
		if !IsTemp(f.Temp()) || filepath.Dir(f.Temp()) != dir {
			t.Errorf("temporary name %q", f.Temp())
		}
		commit(t, f)
		want(t, path, "brand new")
		wantOnly(t, dir, "out")
	}
}

func TestAbort_LeavesEverythingAsItWas(t *testing.T) {
	for _, mode := range []Mode{Replace, Exclusive} {
		dir := t.TempDir()
		path := filepath.Join(dir, "out")
		var names []string
		if mode == Replace {
			put(t, path, "old")
			names = []string{"out"}
		}
		f := openFile(t, path, Options{Mode: mode})
		write(t, f, "half")
		if err := f.Abort(); err != nil {
			t.Fatal(err)
		}
		wantOnly(t, dir, names...)
		if mode == Replace {
			want(t, path, "old")
		}
	}
}

func TestFile_EndsOnce(t *testing.T) {
	path := filepath.Join(t.TempDir(), "out")
	f := openFile(t, path, Options{})
	write(t, f, "x")
	for range 2 {
		if err := f.Commit(); err != nil {
			t.Errorf("Commit = %v", err)
		}
		if err := f.Abort(); err != nil {
			t.Errorf("Abort after Commit = %v", err)
		}
	}
	want(t, path, "x")
	if _, err := f.Write([]byte("y")); !errors.Is(err, os.ErrClosed) {
		t.Errorf("Write after Commit = %v", err)
	}

	g := openFile(t, path, Options{})
	for range 2 {
		if err := g.Abort(); err != nil {
			t.Errorf("Abort = %v", err)
		}
		if err := g.Commit(); !errors.Is(err, ErrAborted) {
			t.Errorf("Commit after Abort = %v", err)
		}
	}
	want(t, path, "x")
}

func TestExclusive_NeverReplaces(t *testing.T) {
	for _, links := range []bool{true, false} {
		if !links {
			files = noLinks{Dir: paths{}}
			defer func() { files = paths{} }()
		}
		dir := t.TempDir()
		path := filepath.Join(dir, "out")
		f := openFile(t, path, Options{Mode: Exclusive})
		late := openFile(t, path, Options{Mode: Exclusive})
		write(t, f, "first")
		write(t, late, "second")
		commit(t, f)
		if err := late.Commit(); !errors.Is(err, fs.ErrExist) {
			t.Errorf("links %v: second Commit = %v, want that it exists", links, err)
		}
		if _, err := Open(t.Context(), path, Options{Mode: Exclusive}); !errors.Is(err, fs.ErrExist) {
			t.Errorf("links %v: Open = %v, want that it exists", links, err)
		}
		want(t, path, "first")
		wantOnly(t, dir, "out")
	}
}

func TestInPlace_KeepsWhatFollows(t *testing.T) {
	path := filepath.Join(t.TempDir(), "out")
	put(t, path, "0123456789")
	f := openFile(t, path, Options{Mode: InPlace, Offset: 2})
	write(t, f, "ab")
	commit(t, f)
	want(t, path, "01ab456789")

	f = openFile(t, path, Options{Mode: InPlace, Offset: 4, Cut: true})
	write(t, f, "cd")
	commit(t, f)
	want(t, path, "01abcd")

	if _, err := Open(t.Context(), path+".absent", Options{Mode: InPlace}); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("Open of an absent file = %v", err)
	}
	for _, o := range []Options{{Mode: InPlace, Offset: -1}, {Offset: 1}} {
		if _, err := Open(t.Context(), path, o); !errors.Is(err, fs.ErrInvalid) {
			t.Errorf("Open(%+v) = %v, want invalid", o, err)
		}
	}
}

func TestAppendAndTruncate_WriteStraight(t *testing.T) {
	path := filepath.Join(t.TempDir(), "out")
	for i, w := range []string{"one", "onetwo"} {
		f := openFile(t, path, Options{Mode: Append})
		write(t, f, []string{"one", "two"}[i])
		commit(t, f)
		want(t, path, w)
	}
	f := openFile(t, path, Options{Mode: Truncate})
	write(t, f, "3")
	f.Abort()
	want(t, path, "3")
}

func TestError_NamesThePathAndTheReason(t *testing.T) {
	dir := t.TempDir()
	put(t, filepath.Join(dir, "plain"), "")
	for _, c := range []struct {
		path string
		is   error
		text string
	}{
		{dir, syscall.EISDIR, dir},
		{filepath.Join(dir, "absent") + "/", syscall.EISDIR, "absent"},
		{filepath.Join(dir, "no", "such", "out"), fs.ErrNotExist, filepath.Join(dir, "no", "such") + string(filepath.Separator) + ": "},
		{"", fs.ErrNotExist, "open"},
	} {
		for _, mode := range []Mode{Replace, Exclusive, Append, Truncate, Fresh} {
			_, err := Open(t.Context(), c.path, Options{Mode: mode})
			var e *Error
			var p *fs.PathError
			if !errors.Is(err, c.is) || !errors.As(err, &e) || !errors.As(err, &p) || p.Path != c.path {
				t.Errorf("mode %d: Open(%q) = %v", mode, c.path, err)
			} else if !strings.Contains(err.Error(), c.text) || strings.Contains(err.Error(), tempMark) {
				t.Errorf("mode %d: error %q does not say %q", mode, err, c.text)
			}
		}
	}
	wantOnly(t, dir, "plain")
}

func TestCommit_LeavesNoTemporaryFileWhenItFails(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "out")
	f := openFile(t, path, Options{})
	write(t, f, "x")
	if err := os.MkdirAll(filepath.Join(path, "in the way"), 0o700); err != nil {
		t.Fatal(err)
	}
	var e *Error
	if err := f.Commit(); !errors.As(err, &e) || e.Path != path {
		t.Errorf("Commit over a directory = %v", err)
	}
	wantOnly(t, dir, "out")
	wantOnly(t, path, "in the way")
}

func TestReplace_ConcurrentWritersLeaveOneWholeFile(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "out")
	const size = 200_000
	var wg sync.WaitGroup
	for i := range 8 {
		wg.Go(func() {
			f, err := Open(t.Context(), path, Options{})
			if err != nil {
				t.Error(err)
				return
			}
			defer f.Abort()
			line := bytes.Repeat([]byte{'a' + byte(i)}, size/10)
			for range 10 {
				if _, err := f.Write(line); err != nil {
					t.Error(err)
				}
			}
			if err := f.Commit(); err != nil && runtime.GOOS != "windows" {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	b, err := os.ReadFile(path)
	if err != nil || len(b) != size || len(bytes.Trim(b, string(b[0]))) != 0 {
		t.Errorf("%d bytes, %v: not one writer's file", len(b), err)
	}
	wantOnly(t, dir, "out")
}

func TestTempName_IsRecognised(t *testing.T) {
	for _, base := range []string{"a", ".hidden", "x.tmp", strings.Repeat("é", 127), strings.Repeat("x", 255)} {
		name := TempName(base)
		if !IsTemp(name) || !IsTemp("/some/where/"+name) || len(name) > 255 {
			t.Errorf("TempName(%q) = %q", base, name)
		}
		if strings.ToValidUTF8(name, "") != name {
			t.Errorf("%q is no UTF-8", name)
		}
		if TempName(base) == name {
			t.Error("the same name twice")
		}
	}
	for _, name := range []string{"", "a.tmp", ".weir-x.tmp", ".a.weir-short.tmp", "a.weir-0123456789abcdef.tmp", "/"} {
		if IsTemp(name) {
			t.Errorf("IsTemp(%q)", name)
		}
	}
}
