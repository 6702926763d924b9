//go:build unix

package tree

import (
	"errors"
	"io/fs"
	"os"
	"syscall"
)

// openPlain opens a file for reading. O_NONBLOCK keeps a named pipe that took
// the file's place from waiting for its writer.
func openPlain(root *os.Root, name string) (*os.File, error) {
	return root.OpenFile(name, os.O_RDONLY|syscall.O_NONBLOCK|syscall.O_NOFOLLOW, 0)
}

// own gives what is called name the owner of the source, where the user may.
func own(root *os.Root, name string, info fs.FileInfo) error {
	st, ok := info.Sys().(*syscall.Stat_t)
	if !ok {
		return nil
	}
	err := root.Lchown(name, int(st.Uid), int(st.Gid))
	if errors.Is(err, fs.ErrPermission) {
		return nil
	}
	return err
}
