//go:build unix

package main

import (
	"io/fs"
	"syscall"
)

// umask has the permissions that new files do not get. It can only be read by
// setting it, which must happen before anything creates a file.
var umask = func() fs.FileMode {
	m := syscall.Umask(0)
	syscall.Umask(m)
	return fs.FileMode(m).Perm()
}()

// withUmask runs f, which creates files without the permissions in mask. Nothing else
// may create files at that time.
func withUmask(mask fs.FileMode, f func()) {
	old := syscall.Umask(int(mask.Perm()))
	defer syscall.Umask(old)
	f()
}
