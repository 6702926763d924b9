package main

import (
	"errors"
	"os"
	"path/filepath"
	"syscall"
	"testing"
)

// A file capability is worth what set-user-ID root is.
func TestCopy_CarriesNoFileCapabilities(t *testing.T) {
	t.Parallel()
	needRoot(t)
	const attr = "security.capability"
	dir := t.TempDir()
	src := filepath.Join(dir, "tree", "tool")
	if err := os.Mkdir(filepath.Dir(src), 0o755); err != nil {
		t.Fatal(err)
	}
	putOwned(t, src, "what runs", owned{0o755, 1234, 1235})
	set := func(name string) {
		t.Helper()
		// VFS_CAP_REVISION_2 | VFS_CAP_FLAGS_EFFECTIVE, CAP_SETUID
		err := syscall.Setxattr(name, attr, []byte{1, 0, 0, 2, 0x80, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0}, 0)
		if errors.Is(err, syscall.ENOTSUP) || errors.Is(err, syscall.EPERM) {
			t.Skipf("no file capabilities here: %v", err)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	set(src)
	over := filepath.Join(dir, "over")
	putOwned(t, over, "old", owned{0o755, 0, 0})
	set(over)
	for _, args := range [][]string{
		{src, filepath.Join(dir, "a"), "-p"},
		{src, filepath.Join(dir, "b"), "-p", "--keep-partial"},
		{src, over},
		{filepath.Dir(src), filepath.Join(dir, "c"), "-p"},
		{filepath.Dir(src), filepath.Join(dir, "d"), "--verify"},
	} {
		weirHere(t, append([]string{"copy", "-q"}, args...)...)
		name := args[1]
		if st, err := os.Stat(name); err == nil && st.IsDir() {
			name = filepath.Join(name, "tool")
		}
		if n, err := syscall.Getxattr(name, attr, make([]byte, 64)); !errors.Is(err, syscall.ENODATA) {
			t.Errorf("copy %v: %d bytes of capabilities, %v", args, n, err)
		}
	}
}
