package lock

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"testing/synctest"
	"time"
)

func opened(t *testing.T, name string) *os.File {
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
	a, b := opened(t, name), opened(t, name)
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
	a, b := opened(t, name), opened(t, name)
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
	f := opened(t, name)
	lstat := func() (os.FileInfo, error) { return os.Lstat(name) }
	sweep := opened(t, name)
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
	if g := opened(t, name); !Claim(g, lstat) {
		t.Error("a new file is not claimed")
	}
}

// A process that was killed holds its locks until it has ended, and its command may be
// started again before.
func TestOpen_WaitsForAHolderThatEnds(t *testing.T) {
	for _, c := range []struct {
		name  string
		holds time.Duration
		ctx   time.Duration
		want  error
	}{
		{"ends soon", time.Second, time.Hour, nil},
		{"ends late", 2 * Patience, time.Hour, ErrHeld},
		{"nobody waits any more", time.Second, time.Second / 2, context.DeadlineExceeded},
	} {
		for _, removes := range []bool{false, true} { // the file, as the last that it does
			t.Run(fmt.Sprintf("%s, removes it %t", c.name, removes), func(t *testing.T) {
				name := filepath.Join(t.TempDir(), "file")
				synctest.Test(t, func(t *testing.T) {
					held, err := Open(t.Context(), name)
					if err != nil {
						t.Fatal(err)
					}
					if err := Try(held); err != nil {
						t.Skip("no locks here:", err)
					}
					done := make(chan struct{})
					go func() {
						defer close(done)
						time.Sleep(c.holds)
						if removes {
							os.Remove(name)
						}
						held.Close()
					}()
					ctx, cancel := context.WithTimeout(t.Context(), c.ctx)
					defer cancel()
					f, err := Open(ctx, name)
					if !errors.Is(err, c.want) {
						t.Errorf("%v, want %v", err, c.want)
					}
					if err == nil {
						if _, err := os.Stat(name); err != nil {
							t.Error("what is locked has no name:", err)
						}
						f.Close()
					}
					<-done
				})
			})
		}
	}
}
