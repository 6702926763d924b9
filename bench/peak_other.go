//go:build !linux

package main

// Resident sets are measured on Linux only.

func residentPeak(int) int64 { return 0 }

func watchPeak(int) func() int64 { return func() int64 { return 0 } }
