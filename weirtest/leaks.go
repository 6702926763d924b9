package weirtest

import (
	"slices"
	"testing"

	"go.uber.org/goleak"
)

// NoLeaks fails the test if it leaves goroutines behind or, on Linux, open file
// descriptors. Call it first, so that it checks last, after all other cleanups
// of the test. Goroutines get a moment to end. A test that calls it must not
// run in parallel with others.
func NoLeaks(t testing.TB) {
	t.Helper()
	running := goleak.IgnoreCurrent()
	open := openFiles()
	t.Cleanup(func() {
		t.Helper()
		goleak.VerifyNone(t, running)
		for _, name := range openFiles() {
			if i := slices.Index(open, name); i >= 0 {
				open = slices.Delete(open, i, i+1)
				continue
			}
			t.Errorf("left open: %s", name)
		}
	})
}
