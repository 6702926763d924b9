package lock

import (
	"errors"
	"os"
	"path/filepath"
	"testing"
)

func open(t *testing.T, name string) *os.File {
	t.Helper()
	f, err := os.OpenFile(name, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { f.Close() })
	return f
}

func TestTry_OneOpenFileHoldsTheLock(t *testing.T) {
	name := filepath.Join(t.TempDir(), "file")
	a, b := open(t, name), open(t, name)
	if err := Try(a); errors.Is(err, errors.ErrUnsupported) {
		t.Skip("no locks here:", err)
	} else if err != nil {
		t.Fatal(err)
	}
	if err := Try(b); !errors.Is(err, ErrHeld) {
		t.Errorf("a second lock: %v", err)
	}
	twin, err := Dup(a)
	if err != nil && !errors.Is(err, errors.ErrUnsupported) {
		t.Fatal(err)
	}
	a.Close()
	if twin != nil {
		if err := Try(b); !errors.Is(err, ErrHeld) {
			t.Errorf("while a duplicate is open: %v", err)
		}
		twin.Close()
	}
	if err := Try(b); err != nil {
		t.Errorf("after the first was closed: %v", err)
	}
}

func TestUnlock_EndsTheLockOfDuplicatesToo(t *testing.T) {
	name := filepath.Join(t.TempDir(), "file")
	a, b := open(t, name), open(t, name)
	if err := Try(a); err != nil {
		t.Skip("no locks here:", err)
	}
	twin, err := Dup(a) // as a process has it that is being started
	if err != nil {
		t.Skip("no duplicates here:", err)
	}
	defer twin.Close()
	Unlock(a)
	a.Close()
	if err := Try(b); err != nil {
		t.Errorf("after Unlock: %v", err)
	}
}

func TestClaim_FailsForAFileThatASweepHasTaken(t *testing.T) {
	name := filepath.Join(t.TempDir(), "file")
	f := open(t, name)
	lstat := func() (os.FileInfo, error) { return os.Lstat(name) }
	sweep := open(t, name)
	if err := Try(sweep); err != nil {
		t.Skip("no locks here:", err)
	}
	if Claim(f, lstat) {
		t.Error("claimed while the sweep held it")
	}
	if err := os.Remove(name); err != nil {
		t.Skip("an open file cannot be removed here:", err)
	}
	sweep.Close()
	if Claim(f, lstat) {
		t.Error("claimed after the sweep removed it")
	}
	if g := open(t, name); !Claim(g, lstat) {
		t.Error("a new file is not claimed")
	}
}
