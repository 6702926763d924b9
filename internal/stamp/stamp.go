// Package stamp reads facts about the changes of a file that a program cannot
// set, unlike the modification time.
package stamp

import (
	"io/fs"
	"time"
)

// Stamp identifies a file and its last change. The zero Stamp means that the
// system does not report these facts.
type Stamp struct {
	Inode   uint64
	Changed time.Time // when contents, size, owner, mode or names changed last
}

// Of returns the stamp of a file.
func Of(info fs.FileInfo) Stamp { return of(info) }
