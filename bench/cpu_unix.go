//go:build unix

package main

import (
	"syscall"
	"time"
)

// cpuTime returns the processor time of this process, its own and the
// kernel's for it.
func cpuTime() time.Duration {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		return 0
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}
