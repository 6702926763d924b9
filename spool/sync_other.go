//go:build !linux

package spool

import "os"

// datasync returns when the contents of f, and its length, are on stable storage.
func datasync(f *os.File) error { return f.Sync() }
