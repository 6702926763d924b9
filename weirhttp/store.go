package weirhttp

import (
	"context"
	"io"
	"iter"
	"time"
)

// FileStore has the files of a [FileServer] that are not in a local folder, such as those
// in an object store. Names are paths from the root of the store, with slashes and without
// "." and "..", and "." is the root itself. The methods can be called concurrently.
//
// All methods return an error that matches [fs.ErrNotExist] if there is no such file or
// folder. Other errors are failures of the store.
type FileStore interface {
	// Stat describes a file or folder.
	Stat(ctx context.Context, name string) (StoredFile, error)

	// List lists the files and folders that are in a folder, in any order. It reads as
	// it is iterated over, page by page, so that a long folder takes no memory. An error
	// is the last value. A folder that does not exist can be listed as an empty one.
	List(ctx context.Context, folder string) iter.Seq2[StoredFile, error]

	// Open opens n bytes of a file that Stat has described, from offset off. n is more
	// than 0. If the file is not that version any more, the error matches ErrChanged, now
	// or when the bytes are read. So it does if the file ends too early. ctx ends with the
	// reading of the file, not with Open.
	Open(ctx context.Context, f StoredFile, off, n int64) (io.ReadCloser, error)
}

// StoredFile is a file or folder in a [FileStore].
type StoredFile struct {
	Name     string    // path from the root of the store
	Folder   bool      // the other fields are not set then
	Size     int64     // bytes
	Modified time.Time // zero: unknown
	Version  string    // identifies the contents; it becomes the entity tag, so it has no quotes and no spaces
}

// tag returns the entity tag of the file, "" if it has none.
func (f StoredFile) tag() string {
	if f.Version == "" {
		return ""
	}
	return `"` + f.Version + `"`
}
