//go:build !unix

package tree

import (
	"io/fs"
	"os"
)

func openPlain(root *os.Root, name string) (*os.File, error) { return root.Open(name) }

// keep gives what is called name the permissions of the source. Owners mean
// something else here.
func keep(root *os.Root, name string, _ *os.File, info fs.FileInfo) error {
	return root.Chmod(name, info.Mode().Perm())
}
