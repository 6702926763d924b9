//go:build !unix

package atomicfile

import (
	"io/fs"
	"os"
)

// Keep gives f the one permission that these systems have, whether a file may
// be written. Owners mean something else here.
func Keep(f *os.File, like fs.FileInfo) error { return f.Chmod(like.Mode().Perm()) }
