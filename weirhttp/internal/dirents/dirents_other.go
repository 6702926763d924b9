//go:build !linux

package dirents

import (
	"io/fs"
	"os"
)

type raw struct{}

func (raw) read(dir *os.File, n int) ([]fs.DirEntry, error) { return dir.ReadDir(n) }
