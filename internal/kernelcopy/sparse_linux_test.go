package kernelcopy

import (
	"bytes"
	"io"
	"os"
	"path/filepath"
	"syscall"
	"testing"
)

func allocated(t *testing.T, f *os.File) int64 {
	t.Helper()
	st, err := f.Stat()
	must(t, err)
	return st.Sys().(*syscall.Stat_t).Blocks * 512
}

// holed makes a file with data at the given offsets and holes between them.
func holed(t *testing.T, size int64, at ...int64) *os.File {
	t.Helper()
	f, err := os.Create(filepath.Join(t.TempDir(), "holed"))
	must(t, err)
	t.Cleanup(func() { f.Close() })
	must(t, f.Truncate(size))
	for _, o := range at {
		_, err := f.WriteAt(content[:10_000], o)
		must(t, err)
	}
	_, err = f.Seek(0, io.SeekStart)
	must(t, err)
	return f
}

func TestKeepHoles_KeepsThem(t *testing.T) {
	const size = 64<<20 + 77
	for name, at := range map[string][]int64{
		"data in the middle": {5 << 20, 33<<20 + 5}, "data at both ends": {0, size - 10_000}, "nothing but a hole": {},
	} {
		t.Run(name, func(t *testing.T) {
			src := holed(t, size, at...)
			if allocated(t, src) > 1<<20 {
				t.Skip("this file system keeps no holes")
			}
			dst, err := os.Create(filepath.Join(t.TempDir(), "out"))
			must(t, err)
			defer dst.Close()
			var told int64
			n, err := Copy(t.Context(), dst, src, Options{Progress: func(n int64) { told += n }})
			if n != size || told != size || err != nil {
				t.Fatalf("Copy = %d, %v; %d told", n, err, told)
			}
			if got := allocated(t, dst); got > 1<<20 {
				t.Errorf("the copy takes %d bytes of disk", got)
			}
			same(t, readAll(t, dst), readAll(t, src))
		})
	}
}

func TestKeepHoles_OverwritesWhatWasThere(t *testing.T) {
	src := holed(t, 1<<20, 500_000)
	dst, err := os.Create(filepath.Join(t.TempDir(), "out"))
	must(t, err)
	defer dst.Close()
	_, err = dst.Write(bytes.Repeat([]byte("old"), 1<<19))
	must(t, err)
	_, err = dst.Seek(0, io.SeekStart)
	must(t, err)
	n, err := Copy(t.Context(), dst, src, Options{})
	if n != 1<<20 || err != nil {
		t.Fatalf("Copy = %d, %v", n, err)
	}
	same(t, readAll(t, dst)[:1<<20], readAll(t, src))
}

func TestKeepHoles_CountsAHoleInFrontOfDataThatTheKernelRefuses(t *testing.T) {
	const size = 8 << 20
	src := holed(t, size, 4<<20)
	if allocated(t, src) > 1<<20 {
		t.Skip("this file system keeps no holes")
	}
	dst, err := os.Create(filepath.Join(t.TempDir(), "out"))
	must(t, err)
	defer dst.Close()
	tr := &transfer{ctx: t.Context(), dst: dst, src: src, remain: size, Options: Options{Observer: nobody{}}}
	tr.g = tr.watch()
	defer tr.g.release()
	never := func(*transfer, int64) (int64, error) { return 0, errUnsupported }
	err = tr.segments(route{move: keepHoles(dst, src, never), pace: filePace})
	if err != errUnsupported || tr.total != 4<<20 {
		t.Errorf("%v after %d bytes", err, tr.total)
	}
	if err := tr.loop(); err != nil || tr.total != size {
		t.Errorf("%v after %d bytes", err, tr.total)
	}
	same(t, readAll(t, dst), readAll(t, src))
}

func readAll(t *testing.T, f *os.File) []byte {
	t.Helper()
	b, err := os.ReadFile(f.Name())
	must(t, err)
	return b
}
