//go:build unix

package atomicfile

import (
	"io/fs"
	"os"
	"path/filepath"
	"syscall"
)

const nonblock = syscall.O_NONBLOCK

// Sweeps is whether a temporary file can stay locked until it has its name.
const Sweeps = true

// openLeft opens a file that a killed process may have left. Some file systems
// lock only files that are open for writing.
func openLeft(root *os.Root, name string) (*os.File, error) {
	const flag = syscall.O_NONBLOCK | syscall.O_NOFOLLOW
	f, err := root.OpenFile(name, os.O_RDWR|flag, 0)
	if err != nil {
		f, err = root.OpenFile(name, os.O_RDONLY|flag, 0)
	}
	return f, err
}

// ours reports whether this user owns the file that info describes.
func ours(info fs.FileInfo) bool {
	st, ok := info.Sys().(*syscall.Stat_t)
	return ok && int(st.Uid) == os.Geteuid()
}

// absolute returns path from the root, so that a later change of directory
// does not move it. It is not cleaned: "link/.." is where the link leads.
func absolute(path string) string {
	if !filepath.IsAbs(path) {
		if dir, err := os.Getwd(); err == nil {
			return dir + "/" + path
		}
	}
	return path
}

// Inherit gives f the permission bits of the file it will replace, and its owner
// and group as far as the process may. Where the group cannot be kept, the group
// that f has instead gets no more than everybody has. Set-user-ID and
// set-group-ID are not kept: they were given to the contents of the old file.
func Inherit(f *os.File, old fs.FileInfo) error {
	perm := old.Mode().Perm()
	was, ok := old.Sys().(*syscall.Stat_t)
	info, err := f.Stat()
	if err != nil {
		return err
	}
	if is, ok2 := info.Sys().(*syscall.Stat_t); ok && ok2 && (is.Uid != was.Uid || is.Gid != was.Gid) {
		if f.Chown(int(was.Uid), int(was.Gid)) != nil && f.Chown(-1, int(was.Gid)) != nil {
			perm &= 0o707 | perm&0o007<<3
		}
	}
	return f.Chmod(perm)
}

// SyncDir returns when the names in the directory dir are on stable storage. It
// does nothing where the system cannot flush a directory by itself.
func SyncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	err = d.Sync()
	if cerr := d.Close(); err == nil {
		err = cerr
	}
	return err
}
