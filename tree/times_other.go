//go:build !linux

package tree

import (
	"io/fs"
	"os"
	"time"
)

// setTimes gives the entry name the modification time of the source.
func setTimes(root *os.Root, name string, _ *os.File, info fs.FileInfo) error {
	return root.Chtimes(name, time.Time{}, info.ModTime())
}

// keepLink gives the symbolic link called name the owner of the source. Its
// time is not kept here.
func keepLink(root *os.Root, name string, info fs.FileInfo) error {
	keepOwner(root, name, info)
	return nil
}
