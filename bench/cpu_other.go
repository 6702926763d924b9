//go:build !unix

package main

import "time"

var started = time.Now()

// cpuTime returns the wall clock where the processor time is not known.
func cpuTime() time.Duration { return time.Since(started) }
