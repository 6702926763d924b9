package s3

import (
	"testing"
	"time"
)

func TestPace_AsksForMoreOnlyIfOneRequestIsSlowThreeTimesInARow(t *testing.T) {
	const piece = 64 << 10
	fast, slow := time.Second*piece/(2*fastEnough), time.Second*piece*2/fastEnough
	for name, c := range map[string]struct {
		waits []time.Duration // for the pieces of 2 MiB each
		after int             // after how many of them several requests are wanted; -1: never
	}{
		"fast":                   {[]time.Duration{fast, fast, fast, fast}, -1},
		"slow":                   {[]time.Duration{slow, slow, slow, slow}, 3},
		"late at first":          {[]time.Duration{slow, slow, fast, fast, fast, fast, fast, fast, fast, fast, slow, fast}, -1},
		"the reader is slow":     {[]time.Duration{0, 0, 0, 0}, -1},
		"slow later":             {append(make([]time.Duration, 1+8), slow, slow, slow, slow, slow, slow, slow, slow, slow, slow), 1 + 8 + 8 + 2},
		"slow in a large window": {[]time.Duration{fast, fast, fast, fast, fast, fast, fast, fast, 20 * slow, slow, slow}, 11},
	} {
		var p pace
		if p.isSlow(piece, time.Hour) {
			t.Errorf("%s: the wait for the answer counts", name)
		}
		after := -1
		for i, wait := range c.waits {
			for range paceFirst / piece {
				if p.isSlow(piece, wait) {
					if after >= 0 {
						t.Errorf("%s: it is said twice", name)
					}
					after = i + 1
				}
			}
		}
		if after != c.after {
			t.Errorf("%s: after %d × 2 MiB, want %d", name, after, c.after)
		}
	}
}
