package main

import (
	"context"
	"os"
	"runtime/debug"
	"time"
)

// collectSooner lets the heap grow by half, not by all, of what is in use
// before the garbage collector runs: a server has little in use, and what it
// has is for clients. GOGC wins.
func collectSooner() {
	if os.Getenv("GOGC") == "" {
		debug.SetGCPercent(50)
	}
}

// manyMore is by how many transfers their number must have changed for the
// memory of the change to be given back.
const manyMore = 256

// giveBack returns to the system what a burst of clients has left. While
// clients are slow next to nothing is allocated, and so the garbage collector
// would not come by for minutes.
func (s *serving) giveBack(ctx context.Context) {
	ticker := time.NewTicker(2 * time.Second)
	defer ticker.Stop()
	then := int64(0)
	for {
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
		}
		now := s.guard.Transfers.Totals().Active
		if change := now - then; change > manyMore || -change > manyMore {
			debug.FreeOSMemory()
			then = now
		}
	}
}
