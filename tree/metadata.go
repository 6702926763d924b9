package tree

import (
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"github.com/weir-go/weir/internal/atomicfile"
)

// metadata gives what is called name in the destination the modification time,
// the owner and the permissions of the source. Times come first, since only the
// owner may set them.
func (j *job) metadata(f *folder, name string, open *os.File, info fs.FileInfo) error {
	if err := f.dst.Chtimes(name, time.Time{}, info.ModTime()); err != nil {
		return err
	}
	return keep(f.dst, name, open, info)
}

// initial is what a file or folder with the permissions perm is created with.
// What is to get the metadata of the source is the user's alone until it has
// the right owner.
func (j *job) initial(perm fs.FileMode) fs.FileMode {
	if j.Metadata {
		return perm & 0o700
	}
	return perm
}

// syncAll brings a folder and everything in it to stable storage.
func syncAll(name string) error {
	return filepath.WalkDir(name, func(path string, d fs.DirEntry, err error) error {
		if err != nil || !d.IsDir() && !d.Type().IsRegular() {
			return err
		}
		if d.IsDir() {
			return atomicfile.SyncDir(path)
		}
		return syncFile(path)
	})
}
