package main

import (
	"context"
	"runtime/debug"
	"time"
)

// manyMore is by how many transfers their number must have changed, and come to
// rest, for the memory of the change to be given back.
const manyMore = 256

// giveBack returns to the system what a burst of clients has left. While
// clients are slow next to nothing is allocated, and so the garbage collector
// would not come by for minutes.
func (s *serving) giveBack(ctx context.Context) {
	ticker := time.NewTicker(time.Second)
	defer ticker.Stop()
	given, before := int64(0), int64(0)
	for {
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
		}
		now := s.guard.Transfers.Totals().Active
		if settled := apart(now, before) < manyMore/8; settled && apart(now, given) >= manyMore {
			debug.FreeOSMemory()
			given = now
		}
		before = now
	}
}

func apart(a, b int64) int64 { return max(a-b, b-a) }
