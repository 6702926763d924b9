//go:build !linux

package monitor

// residentMemory returns 0: the system does not say it in a portable way.
func residentMemory() int64 { return 0 }
