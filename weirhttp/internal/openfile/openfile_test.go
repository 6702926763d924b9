package openfile

import (
	"testing"
	"time"
)

func TestSettled_WaitsUntilTimesCannotRepeat(t *testing.T) {
	now := time.Unix(1000, 0)
	for ago, want := range map[time.Duration]bool{0: false, -time.Hour: false, 2 * time.Second: false, 3 * time.Second: true} {
		then := now.Add(-ago).UnixNano()
		long := now.Add(-time.Hour).UnixNano()
		for _, id := range []Identity{{modified: then, change: long}, {modified: long, change: then}} {
			if id.Settled(now) != want {
				t.Errorf("%v ago: %v", ago, !want)
			}
		}
	}
}
