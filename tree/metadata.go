package tree

import (
	"io/fs"
	"os"
	"path/filepath"

	"github.com/weir-go/weir/internal/atomicfile"
	"github.com/weir-go/weir/internal/xattr"
)

// metadata gives open, the new entry name of the destination, the extended
// attributes, times, owner and permissions of src, which info describes. It
// sets the times before the owner, because only the owner may set them.
func (j *job) metadata(f *folder, name string, open, src *os.File, info fs.FileInfo) error {
	attrs, err := xattr.Read(src)
	if err != nil {
		return &readError{err}
	}
	if err := xattr.Write(open, attrs); err != nil {
		return err
	}
	if err := setTimes(f.dst, name, open, info); err != nil {
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
