package main

import (
	"bytes"
	"context"
	"os"
	"strconv"
	"time"
)

// quiesce waits, at most ten seconds, until the kernel has little left to write
// back: the data of one contender must not slow down the next.
func quiesce(ctx context.Context) {
	const enough = 64 << 10 // KiB
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for {
		text, err := os.ReadFile("/proc/meminfo")
		if err != nil || meminfo(text, "Dirty:")+meminfo(text, "Writeback:") < enough {
			return
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return
		}
	}
}

// meminfo returns a field of /proc/meminfo, in KiB.
func meminfo(text []byte, field string) int64 {
	_, rest, _ := bytes.Cut(text, []byte("\n"+field))
	fields := bytes.Fields(rest)
	if len(fields) == 0 {
		return 0
	}
	n, _ := strconv.ParseInt(string(fields[0]), 10, 64)
	return n
}
