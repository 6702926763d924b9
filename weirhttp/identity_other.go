//go:build !linux

package weirhttp

import "io/fs"

// identify does not tell files apart here: each is opened for its client alone.
func identify(fs.FileInfo) identity { return identity{} }
