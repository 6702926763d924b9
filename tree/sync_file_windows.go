package tree

import (
	"errors"
	"io/fs"
	"os"
)

// syncFile brings a file that was written before to stable storage. Windows
// does that only through a file that is open for writing, and opens no file for
// writing that is read-only.
func syncFile(path string) (err error) {
	f, err := os.OpenFile(path, os.O_RDWR, 0)
	if errors.Is(err, fs.ErrPermission) {
		info, serr := os.Lstat(path)
		if serr != nil {
			return serr
		}
		if serr := os.Chmod(path, 0o600); serr != nil {
			return serr
		}
		defer func() { err = errors.Join(err, os.Chmod(path, info.Mode().Perm())) }()
		f, err = os.OpenFile(path, os.O_RDWR, 0)
	}
	if err != nil {
		return err
	}
	return errors.Join(f.Sync(), f.Close())
}
