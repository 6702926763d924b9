//go:build !unix

package main

import "io/fs"

// umask is what new files do not get: here they get everything.
const umask fs.FileMode = 0

// withUmask runs f.
func withUmask(_ fs.FileMode, f func()) { f() }
