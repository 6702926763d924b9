package main

import (
	"bytes"
	"fmt"
	"os"
	"strconv"
	"time"
)

// residentPeak returns the largest resident set of a process so far, in bytes,
// or 0. getrusage does not serve: a child inherits the peak of the process that
// started it.
func residentPeak(pid int) int64 {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		return 0
	}
	_, rest, ok := bytes.Cut(text, []byte("VmHWM:"))
	fields := bytes.Fields(rest)
	if !ok || len(fields) == 0 {
		return 0
	}
	kib, _ := strconv.ParseInt(string(fields[0]), 10, 64)
	return kib << 10
}

// watchPeak looks at a running process from time to time and returns a function
// that returns the largest resident set seen so far.
func watchPeak(pid int) func() int64 {
	stop, done := make(chan struct{}), make(chan int64)
	go func() {
		var most int64
		tick := time.NewTicker(20 * time.Millisecond)
		defer tick.Stop()
		for {
			select {
			case <-tick.C:
				most = max(most, residentPeak(pid))
			case <-stop:
				done <- most
				return
			}
		}
	}()
	return func() int64 { close(stop); return <-done }
}
