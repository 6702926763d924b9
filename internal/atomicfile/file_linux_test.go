package atomicfile

import (
	"errors"
	"os"
	"path/filepath"
	"syscall"
	"testing"
)

func TestWrite_ToAFullDeviceIsAnErrorWithItsOffset(t *testing.T) {
	f := openFile(t, "/dev/full", Options{})
	_, err := f.Write([]byte("x"))
	if !errors.Is(err, syscall.ENOSPC) || err.Error() != "write /dev/full at offset 0: no space left on device" {
		t.Errorf("Write = %v", err)
	}
	if err := f.Commit(); !errors.Is(err, syscall.ENOSPC) {
		t.Errorf("Commit after a failed write = %v", err)
	}
}

func TestFile_LeavesNoDescriptorOpen(t *testing.T) {
	count := func() int {
		entries, err := os.ReadDir("/proc/self/fd")
		if err != nil {
			t.Skip(err)
		}
		return len(entries)
	}
	dir := t.TempDir()
	path := filepath.Join(dir, "out")
	put(t, path, "old")
	before := count()
	for _, o := range []Options{{}, {Sync: true}, {Mode: Exclusive}, {Mode: InPlace, Offset: 1, Cut: true}, {Mode: Append}, {Mode: Truncate}} {
		for _, path := range []string{path, path + ".new", dir, "/no/such", "/dev/full"} {
			for _, end := range []func(*File) error{(*File).Commit, (*File).Abort} {
				f, err := Open(t.Context(), path, o)
				if err != nil {
					continue
				}
				f.Write([]byte("x"))
				end(f)
				if o.Mode == Exclusive {
					os.Remove(path)
				}
			}
		}
	}
	if after := count(); after != before {
		t.Errorf("%d descriptors before, %d after", before, after)
	}
}
