//go:build !unix

package atomicfile

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
)

const nonblock = 0

// Sweeps is whether a temporary file can stay locked until it has its name. Here
// it must be closed first.
const Sweeps = false

func openLeft(*os.Root, string) (*os.File, error) { return nil, errors.ErrUnsupported }

func ours(fs.FileInfo) bool { return false }

func absolute(path string) string {
	if abs, err := filepath.Abs(path); err == nil && !os.IsPathSeparator(path[len(path)-1]) {
		return abs
	}
	return path
}

// Inherit keeps the one permission that these systems have, whether a file may
// be written: a file that may not was refused before.
func Inherit(*os.File, fs.FileInfo) error { return nil }

// SyncDir does nothing: a directory cannot be flushed by itself here.
func SyncDir(string) error { return nil }
