package main

import (
	"runtime"
	"sync"
	"time"
)

// patience is how long a turn waits for all cores.
const patience = 2 * time.Second

// spread keeps all cores busy until they run at the same time, and reports
// whether they did within patience. An idle machine may take a while to
// bring its second core into play, and the contender whose turn it is then
// would look slower than the one after it.
func spread() bool {
	const steps = 1 << 22 // some 5 ms
	cores := runtime.GOMAXPROCS(0)
	t := time.Now()
	spin(1, steps)
	alone := time.Since(t)
	good := 0
	for begin := time.Now(); time.Since(begin) < patience; {
		t = time.Now()
		var wg sync.WaitGroup
		for range cores {
			wg.Go(func() { spin(1, steps) })
		}
		wg.Wait()
		d := time.Since(t)
		alone = min(alone, d)
		if d > alone*5/4 {
			good = 0
		} else if good++; good == 3 {
			return true
		}
	}
	return false
}
