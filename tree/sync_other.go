//go:build !unix

package tree

import (
	"io/fs"
	"os"
)

const nonblock = 0

func openPlain(root *os.Root, name string) (*os.File, error) { return root.Open(name) }

// keep gives the entry name the permissions of the source. Owners mean
// something else on this system.
func keep(root *os.Root, name string, _ *os.File, info fs.FileInfo) error {
	return root.Chmod(name, info.Mode().Perm())
}

type fileID struct{}

// idOf knows no hard links here.
func idOf(fs.FileInfo) (id fileID, several bool) { return id, false }

func keepOwner(*os.Root, string, fs.FileInfo) {}
