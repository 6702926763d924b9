// Package openfile shares open files between the downloads that send them, and
// identifies versions of a file.
package openfile

import (
	"fmt"
	"io/fs"
	"mime"
	"net/http"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"time"
)

// Identity identifies one version of one file. The zero Identity means that the
// platform reports no inode numbers.
type Identity struct {
	dev, ino         uint64
	size             int64
	modified, change int64 // nanoseconds
}

// IsZero reports whether the platform reports no identity of the file.
func (id Identity) IsZero() bool { return id == (Identity{}) }

// Inode returns the inode number of the file, 0 if the platform reports none.
func (id Identity) Inode() uint64 { return id.ino }

// File is an open file. Several downloads can share it.
type File struct {
	F        *os.File
	FD       int
	Size     int64
	Modified time.Time
	ID       Identity
	Own      bool        // not shared, so the caller can move its offset
	Copied   atomic.Bool // its file system does not support sendfile
	shelf    *Shelf
	users    int // guarded by shelf.mu
}

// Tag returns the entity tag of the file.
func (f *File) Tag() string { return Tag(f.Modified, f.Size, f.ID) }

// ReadAt reads at an offset. Any number of goroutines can use it at the same time.
func (f *File) ReadAt(b []byte, off int64) (int, error) { return f.F.ReadAt(b, off) }

// Release ends one use of the file. The last one closes it. Releasing a nil File
// does nothing.
func (f *File) Release() {
	if f == nil {
		return
	}
	f.shelf.mu.Lock()
	f.users--
	last := f.users == 0
	if last && f.shelf.files[f.ID] == f {
		delete(f.shelf.files, f.ID)
	}
	f.shelf.mu.Unlock()
	if last {
		f.F.Close()
	}
}

// Tag returns the strong entity tag of a file.
func Tag(modified time.Time, size int64, id Identity) string {
	return fmt.Sprintf(`"%x-%x-%x"`, modified.UnixNano(), size, id.ino)
}

// Shelf holds the open files, so that each file is open only once. Its zero value
// is ready to use.
type Shelf struct {
	mu    sync.Mutex // guards the field below, and the users of the files
	files map[Identity]*File
}

// Put returns a File for f, which the caller must release. If shared is set and the
// same version of the file is open already, Put closes f and returns the open one.
func (s *Shelf) Put(f *os.File, info fs.FileInfo, shared bool) *File {
	id := Identify(info)
	n := &File{F: f, FD: int(f.Fd()), Size: info.Size(), Modified: info.ModTime(), ID: id, shelf: s, users: 1}
	if !shared || id.IsZero() {
		n.Own = true
		return n
	}
	s.mu.Lock()
	have, ok := s.files[id]
	if ok {
		have.users++
	} else {
		if s.files == nil {
			s.files = make(map[Identity]*File)
		}
		s.files[id] = n
	}
	s.mu.Unlock()
	if ok {
		f.Close()
		return have
	}
	return n
}

// Settled reports whether the times of the file are so old that any later change
// must give it new ones. Some file systems record times in steps of 2 s.
func (id Identity) Settled(now time.Time) bool {
	return now.Sub(time.Unix(0, max(id.modified, id.change))) >= 3*time.Second
}

// ContentType returns the media type of the file by the extension of name, or else
// by its first bytes.
func (f *File) ContentType(name string) string {
	if t := mime.TypeByExtension(filepath.Ext(name)); t != "" {
		return t
	}
	var b [512]byte
	n, _ := f.ReadAt(b[:], 0)
	return http.DetectContentType(b[:n])
}
