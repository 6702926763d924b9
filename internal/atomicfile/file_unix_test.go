//go:build unix

package atomicfile

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

func TestReplace_KeepsPermissionBits(t *testing.T) {
	old := syscall.Umask(0o027)
	defer syscall.Umask(old)
	dir := t.TempDir()
	perm := func(path string) fs.FileMode {
		info, err := os.Stat(path)
		if err != nil {
			t.Fatal(err)
		}
		return info.Mode().Perm()
	}
	for _, c := range []struct{ asked, was, want fs.FileMode }{
		{0, 0, 0o640}, {0o600, 0, 0o600}, {0o777, 0, 0o750},
		{0, 0o666, 0o666}, {0o600, 0o755, 0o755}, {0o666, 0o600, 0o600},
	} {
		path := filepath.Join(dir, fmt.Sprintf("%o-%o", c.asked, c.was))
		if c.was != 0 {
			put(t, path, "old")
			if err := os.Chmod(path, c.was); err != nil {
				t.Fatal(err)
			}
		}
		f := openFile(t, path, Options{Perm: c.asked})
		if p := perm(f.Temp()); p != c.want {
			t.Errorf("asked %o over %o: temporary file has %o, want %o", c.asked, c.was, p, c.want)
		}
		commit(t, f)
		if p := perm(path); p != c.want {
			t.Errorf("asked %o over %o: got %o, want %o", c.asked, c.was, p, c.want)
		}
	}
}

func TestOpen_WritesThroughSymbolicLinks(t *testing.T) {
	dir := t.TempDir()
	elsewhere := filepath.Join(dir, "elsewhere")
	if err := os.Mkdir(elsewhere, 0o700); err != nil {
		t.Fatal(err)
	}
	for name, link := range map[string]string{
		"absolute": filepath.Join(elsewhere, "a"),
		"relative": "elsewhere/b",
		"twice":    "relative2", "relative2": "elsewhere/c",
		"dangling": "elsewhere/new",
		"sideways": "inner/../d", "inner": "elsewhere",
		"loop": "loop",
	} {
		if err := os.Symlink(link, filepath.Join(dir, name)); err != nil {
			t.Fatal(err)
		}
	}
	// inner/.. is dir, since elsewhere lies in it.
	for name, target := range map[string]string{
		"absolute": "elsewhere/a", "relative": "elsewhere/b", "twice": "elsewhere/c",
		"sideways": "d",
	} {
		target = filepath.Join(dir, target)
		put(t, target, "old")
		f := openFile(t, filepath.Join(dir, name), Options{})
		write(t, f, "new "+name)
		commit(t, f)
		want(t, target, "new "+name)
		if info, err := os.Lstat(filepath.Join(dir, name)); err != nil || info.Mode()&fs.ModeSymlink == 0 {
			t.Errorf("%s is no link any more", name)
		}
	}
	if _, err := Open(t.Context(), filepath.Join(dir, "loop"), Options{}); !errors.Is(err, syscall.ELOOP) {
		t.Errorf("Open of a loop = %v", err)
	}
	for _, mode := range []Mode{Replace, Exclusive, InPlace, Append, Truncate} {
		if _, err := Open(t.Context(), filepath.Join(dir, "dangling"), Options{Mode: mode}); !errors.Is(err, ErrDangling) {
			t.Errorf("Open of a dangling link, mode %d = %v", mode, err)
		}
	}
	if _, err := os.Lstat(filepath.Join(elsewhere, "new")); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("written through a dangling link: %v", err)
	}
	if _, err := Open(t.Context(), filepath.Join(dir, "relative"), Options{Mode: Exclusive}); !errors.Is(err, fs.ErrExist) {
		t.Errorf("exclusive Open of a link = %v", err)
	}
}

func TestOpen_FixesTheTargetsDirectory(t *testing.T) {
	dir, other := t.TempDir(), t.TempDir()
	t.Chdir(dir)
	f := openFile(t, "out", Options{})
	write(t, f, "x")
	t.Chdir(other)
	commit(t, f)
	wantOnly(t, dir, "out")
	wantOnly(t, other)
}

func TestOpen_WritesStraightToDevices(t *testing.T) {
	for _, mode := range []Mode{Replace, Append, Truncate} {
		f := openFile(t, os.DevNull, Options{Mode: mode, Sync: true})
		write(t, f, "gone")
		commit(t, f)
	}
	if info, err := os.Stat(os.DevNull); err != nil || info.Mode()&fs.ModeCharDevice == 0 {
		t.Fatalf("%s is no device any more", os.DevNull)
	}
}

func TestAbort_UnblocksAWriteToAPipe(t *testing.T) {
	path := filepath.Join(t.TempDir(), "pipe")
	if err := syscall.Mkfifo(path, 0o600); err != nil {
		t.Skip(err)
	}
	r, err := os.OpenFile(path, os.O_RDWR, 0)
	if err != nil {
		t.Skip(err)
	}
	defer r.Close()
	f := openFile(t, path, Options{})
	if f.OSFile().SetWriteDeadline(time.Time{}) != nil {
		t.Skip("pipes cannot be unblocked here")
	}
	begun := make(chan struct{})
	done := make(chan error)
	go func() {
		_, err := f.Write([]byte("first"))
		close(begun)
		for err == nil {
			_, err = f.Write(make([]byte, 1<<20)) // more than any pipe holds
		}
		done <- err
	}()
	<-begun
	f.Abort()
	if err := <-done; !errors.Is(err, os.ErrClosed) {
		t.Errorf("Write = %v, want closed", err)
	}
}

func TestOpen_OfAPipeWithoutReaderEndsWithTheContext(t *testing.T) {
	path := filepath.Join(t.TempDir(), "pipe")
	if err := syscall.Mkfifo(path, 0o600); err != nil {
		t.Skip(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	go cancel()
	if _, err := Open(ctx, path, Options{}); !errors.Is(err, context.Canceled) {
		t.Errorf("Open = %v", err)
	}
}

func TestOpen_RefusesReadOnlyFilesAndDirectories(t *testing.T) {
	if os.Getuid() == 0 {
		t.Skip("root may write everything")
	}
	dir := t.TempDir()
	path := filepath.Join(dir, "out")
	put(t, path, "old")
	os.Chmod(path, 0o444)
	if _, err := Open(t.Context(), path, Options{}); !errors.Is(err, fs.ErrPermission) {
		t.Errorf("Open of a read-only file = %v", err)
	}
	os.Chmod(path, 0o644)
	os.Chmod(dir, 0o555)
	defer os.Chmod(dir, 0o755)
	if _, err := Open(t.Context(), path, Options{}); !errors.Is(err, fs.ErrPermission) || !strings.Contains(err.Error(), dir) {
		t.Errorf("Open in a read-only directory = %v", err)
	}
	want(t, path, "old")
}

// The tests below need a process of their own: they run this binary again.
const child = "ATOMICFILE_TEST_CHILD"

func TestMain(m *testing.M) {
	switch args := strings.Split(os.Getenv(child), " "); args[0] {
	case "":
		os.Exit(m.Run())
	case "fill":
		fmt.Println(fillDisk(args[1]))
	case "fd":
		fmt.Fprintln(os.Stderr, toDescriptor(args[1]))
	}
}

func again(t *testing.T, args string, stdout *os.File) string {
	t.Helper()
	exe, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(exe)
	cmd.Env = append(os.Environ(), child+"="+args, "GORACE=atexit_sleep_ms=0")
	var out strings.Builder
	cmd.Stdout, cmd.Stderr = &out, &out
	if stdout != nil {
		cmd.Stdout = stdout
	}
	if err := cmd.Run(); err != nil {
		t.Fatalf("%v: %s", err, &out)
	}
	return strings.TrimSpace(out.String())
}

// fillDisk writes 100 blocks of 1,000 bytes where only 8 KiB fit.
func fillDisk(path string) string {
	signal.Ignore(syscall.SIGXFSZ)
	if err := syscall.Setrlimit(syscall.RLIMIT_FSIZE, &syscall.Rlimit{Cur: 8192, Max: 8192}); err != nil {
		return "skip: " + err.Error()
	}
	f, err := Open(context.Background(), path, Options{})
	if err != nil {
		return err.Error()
	}
	for range 100 {
		if _, err := f.Write(make([]byte, 1000)); err != nil {
			var e *Error
			if !errors.Is(err, syscall.EFBIG) || !errors.As(err, &e) || e.Offset != 8192 {
				return "wrong write error: " + err.Error()
			}
		}
	}
	return fmt.Sprint(f.Commit())
}

func TestReplace_LeavesTheOldFileWhenTheDiskIsFull(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "out")
	put(t, path, "old")
	out := again(t, "fill "+path, nil)
	if strings.HasPrefix(out, "skip") {
		t.Skip(out)
	}
	if w := "write " + path + " at offset 8192: file too large"; out != w {
		t.Errorf("Commit = %q, want %q", out, w)
	}
	want(t, path, "old")
	wantOnly(t, dir, "out")
}

func toDescriptor(path string) string {
	f, err := Open(context.Background(), path, Options{})
	if err != nil {
		return err.Error()
	}
	defer f.Abort()
	if _, err := f.Write([]byte("from the child\n")); err != nil {
		return err.Error()
	}
	return fmt.Sprint(f.Temp(), f.Commit())
}

func TestOpen_NeitherReplacesNorEmptiesInheritedDescriptors(t *testing.T) {
	for _, name := range []string{"/dev/stdout", "/dev/fd/1"} {
		if _, err := os.Stat(name); err != nil {
			t.Skip(err)
		}
		dir := t.TempDir()
		path := filepath.Join(dir, "out")
		f, err := os.Create(path)
		if err != nil {
			t.Fatal(err)
		}
		f.WriteString("from the parent\n")
		if out := again(t, "fd "+name, f); out != "<nil>" {
			t.Errorf("%s: %s", name, out)
		}
		f.WriteString("parent again\n")
		f.Close()
		want(t, path, "from the parent\nfrom the child\nparent again\n")
		wantOnly(t, dir, "out")
	}
}
