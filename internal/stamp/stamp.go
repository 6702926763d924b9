// Package stamp reads what a system knows about the changes of a file beside
// its modification time, which anybody may set.
package stamp

import (
	"io/fs"
	"time"
)

// Stamp identifies a file and its last change. The zero Stamp means that the
// system reports neither.
type Stamp struct {
	Inode   uint64
	Changed time.Time // when contents, size, owner, mode or names changed last
}

// Of returns the stamp of a file.
func Of(info fs.FileInfo) Stamp { return of(info) }
