//go:build !unix

package main

import "io/fs"

// umask has the permissions that new files do not get: none on this system.
const umask fs.FileMode = 0

// withUmask runs f.
func withUmask(_ fs.FileMode, f func()) { f() }
