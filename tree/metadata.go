package tree

import (
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"github.com/weir-go/weir/internal/atomicfile"
)

// metadata gives what is called name in the destination the owner, the exact
// permissions and the modification time of the source. The owner comes first:
// changing it takes set-user-ID bits away.
func (j *job) metadata(f *folder, name string, info fs.FileInfo) error {
	if err := own(f.dst, name, info); err != nil {
		return err
	}
	if err := f.dst.Chmod(name, info.Mode()); err != nil {
		return err
	}
	return f.dst.Chtimes(name, time.Time{}, info.ModTime())
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

func syncFile(path string) error {
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	defer f.Close()
	return f.Sync()
}
