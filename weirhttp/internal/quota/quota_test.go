package quota

import (
	"errors"
	"fmt"
	"github.com/weir-go/weir/weirhttp/internal/names"
	"os"
	"path/filepath"
	"testing"
)

// ledgerOn is a ledger of an empty folder on a disk with free bytes.
func ledgerOn(t *testing.T, quota, spare, free int64) *Ledger {
	root, err := os.OpenRoot(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { root.Close() })
	return &Ledger{Root: root, Quota: quota, Spare: spare, Free: func() (int64, error) { return free, nil }}
}

func TestLedger_UploadsUnderWayShareTheDisk(t *testing.T) {
	l := ledgerOn(t, 0, 100, 1000)
	a, err := l.Take(600)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := l.Take(301); !errors.Is(err, ErrNoSpace) {
		t.Errorf("%v", err)
	}
	b, err := l.Take(300)
	if err != nil {
		t.Fatal(err)
	}
	a.Wrote(600) // the disk says 400 now, of which 300 are taken
	l.Free = func() (int64, error) { return 400, nil }
	if _, err := l.Take(1); !errors.Is(err, ErrNoSpace) {
		t.Errorf("%v", err)
	}
	b.Release()
	if _, err := l.Take(300); err != nil {
		t.Error(err)
	}
	l.Free = func() (int64, error) { return 0, errors.ErrUnsupported }
	if _, err := l.Take(1 << 50); err != nil {
		t.Error(err)
	}
	l.Free = func() (int64, error) { return 0, os.ErrPermission }
	if _, err := l.Take(1); !errors.Is(err, os.ErrPermission) {
		t.Errorf("%v", err)
	}
}

func TestLedger_DoesNotHoldUpUploadsWhileFilesAreNamed(t *testing.T) {
	l := ledgerOn(t, 10_000, 100, 1<<40)
	a, err := l.Take(1000)
	if err != nil {
		t.Fatal(err)
	}
	b, err := l.Take(1000)
	if err != nil {
		t.Fatal(err)
	}
	goOn := func() {
		b.Wrote(10)
		if err := b.Need(b.room + 10); err != nil {
			t.Error(err)
		}
	}
	free := l.Free
	l.Free = func() (int64, error) {
		goOn()
		return free()
	}
	err = a.Publish(func() (int64, error) {
		goOn()
		c, err := l.Take(1000)
		if err == nil {
			c.Release()
		}
		return 1000, err
	})
	if err != nil || l.stored != 1000 || l.held != 1020 || l.coming.Load() != 1000 {
		t.Errorf("%v, %d stored, %d held, %d coming", err, l.stored, l.held, l.coming.Load())
	}
	b.Release()
	if l.held != 0 || l.coming.Load() != 0 {
		t.Errorf("%d held, %d coming", l.held, l.coming.Load())
	}
}

func TestLedger_ChecksDiskAgainForUploadsOfUnknownLength(t *testing.T) {
	l := ledgerOn(t, 0, 0, 1<<40)
	h, err := l.Take(0)
	if err != nil {
		t.Fatal(err)
	}
	l.Free = func() (int64, error) { return 0, nil }
	n := int64(0)
	for err = h.Need(n); err == nil; err = h.Need(n) {
		n += 1 << 20
	}
	if !errors.Is(err, ErrNoSpace) || n > 2*recheck {
		t.Errorf("%v at %d", err, n)
	}
}

func TestLedger_CountsEveryFileOnce(t *testing.T) {
	l := ledgerOn(t, 10_000, 0, 1<<40)
	for name, n := range map[string]int{"a": 100, "sub/b": 200, names.UploadsDir + "/c": 400, ".upload.weir-ABCDEFGHIJKLMNOP.tmp": 800} {
		l.Root.MkdirAll(filepath.Dir(name), 0o755)
		if err := l.Root.WriteFile(name, make([]byte, n), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	h, err := l.Take(50)
	if err != nil || l.stored != 300 || l.held != 50 {
		t.Fatalf("%v, %d stored, %d held", err, l.stored, l.held)
	}
	if err := h.Publish(func() (int64, error) { return 0, os.ErrExist }); !errors.Is(err, os.ErrExist) || l.held != 50 {
		t.Errorf("%v, %d held", err, l.held)
	}
	if err := h.Publish(func() (int64, error) { return 50, nil }); err != nil || l.stored != 350 || l.held != 0 {
		t.Errorf("%v, %d stored, %d held", err, l.stored, l.held)
	}
	h.Release()
	if l.held != 0 || l.stored != 350 {
		t.Error(fmt.Sprint("a release after publish counts: ", l.held, l.stored))
	}
}
