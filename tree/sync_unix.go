//go:build unix

package tree

import (
	"io/fs"
	"os"
	"syscall"

	"github.com/weir-go/weir/internal/atomicfile"
)

const nonblock = syscall.O_NONBLOCK

// openPlain opens a file for reading. O_NONBLOCK keeps a named pipe that took
// the file's place from waiting for its writer.
func openPlain(root *os.Root, name string) (*os.File, error) {
	return root.OpenFile(name, os.O_RDONLY|syscall.O_NONBLOCK|syscall.O_NOFOLLOW, 0)
}

// keep gives open the owner and the permissions of the source, as
// [atomicfile.Keep] does.
func keep(_ *os.Root, _ string, open *os.File, info fs.FileInfo) error {
	return atomicfile.Keep(open, info)
}

// fileID identifies a file.
type fileID struct{ dev, ino uint64 }

// idOf returns the identity of a file, and whether it has several names.
func idOf(info fs.FileInfo) (id fileID, several bool) {
	st, ok := info.Sys().(*syscall.Stat_t)
	if !ok {
		return id, false
	}
	return fileID{uint64(st.Dev), uint64(st.Ino)}, st.Nlink > 1
}

// keepOwner gives a symbolic link the owner of the source, where that is
// allowed.
func keepOwner(root *os.Root, name string, info fs.FileInfo) {
	if st, ok := info.Sys().(*syscall.Stat_t); ok && root.Lchown(name, int(st.Uid), int(st.Gid)) != nil {
		_ = root.Lchown(name, -1, int(st.Gid)) // the owner is for root to give
	}
}
