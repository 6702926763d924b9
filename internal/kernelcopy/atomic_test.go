package kernelcopy

import (
	"bytes"
	"errors"
	"io"
	"os"
	"path/filepath"
	"testing"

	"github.com/weir-go/weir/internal/atomicfile"
)

func TestCopy_ReachesIntoAnAtomicFile(t *testing.T) {
	dir := t.TempDir()
	name := filepath.Join(dir, "out")
	for _, src := range []io.Reader{sources["file"](t), sources["pipe"](t), bytes.NewReader(content)} {
		f, err := atomicfile.Open(t.Context(), name, atomicfile.Options{})
		must(t, err)
		if p, q := Path(f, src), Path(f.OSFile(), src); p != q {
			t.Errorf("Path = %q to the atomic file and %q to the file in it", p, q)
		}
		n, err := Copy(t.Context(), f, src, Options{})
		if n != int64(len(content)) || err != nil || f.Written() != n {
			t.Errorf("Copy = %d, %v; %d written", n, err, f.Written())
		}
		must(t, f.Commit())
		b, err := os.ReadFile(name)
		must(t, err)
		same(t, b, content)
		must(t, os.Remove(name))
	}

	f, err := atomicfile.Open(t.Context(), name, atomicfile.Options{})
	must(t, err)
	f.Abort()
	var e *atomicfile.Error
	if _, err := Copy(t.Context(), f, sources["file"](t), Options{}); !errors.As(err, &e) || e.Path != name || !errors.Is(err, os.ErrClosed) {
		t.Errorf("Copy after Abort = %v", err)
	}
}
