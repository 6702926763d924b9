package weirhttp

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"mime"
	"net/http"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/weir-go/weir/internal/errno"
)

// errSpecial is the cause when a name is not that of a file or folder.
var errSpecial = errors.New("it is neither a file nor a folder")

// stat looks at a name without opening it: opening may wait, or do something.
func (s *FileServer) stat(name string) (fs.FileInfo, error) {
	info, err := s.Root.Stat(name)
	if err != nil && s.Symlinks && !errors.Is(err, fs.ErrNotExist) {
		return os.Stat(filepath.Join(s.Root.Name(), name))
	}
	return info, err
}

// openAny opens a file or folder.
func (s *FileServer) openAny(name string) (*os.File, error) {
	f, err := s.Root.OpenFile(name, os.O_RDONLY|openFlags, 0)
	if err != nil && s.Symlinks && !errors.Is(err, fs.ErrNotExist) {
		return os.OpenFile(filepath.Join(s.Root.Name(), name), os.O_RDONLY|openFlags, 0)
	}
	return f, err
}

// openFile opens a regular file, shared with others who send it or alone. It
// must be released.
func (s *FileServer) openFile(name string, shared bool) (*file, error) {
	f, err := s.openAny(name)
	if err != nil {
		return nil, err
	}
	info, err := f.Stat()
	if err == nil && !info.Mode().IsRegular() {
		err = fmt.Errorf("open %s: %w", name, errSpecial)
	}
	if err != nil {
		f.Close()
		return nil, err
	}
	return s.open.put(f, info, shared), nil
}

// identity tells files, and versions of a file, apart. Its zero value is that
// of a file whose system does not tell.
type identity struct {
	dev, ino         uint64
	size             int64
	modified, change int64 // nanoseconds
}

// file is an open file, shared by those who send it.
type file struct {
	f        *os.File
	fd       int
	size     int64
	modified time.Time
	id       identity
	mine     bool        // not shared, so that its offset may be moved
	copied   atomic.Bool // its system does not know sendfile
	shelf    *shelf
	users    int // guarded by shelf.mu
}

// tag is the entity tag of the file.
func (f *file) tag() string { return tagOf(f.modified, f.size, f.id) }

// tagOf makes a strong entity tag.
func tagOf(modified time.Time, size int64, id identity) string {
	return fmt.Sprintf(`"%x-%x-%x"`, modified.UnixNano(), size, id.ino)
}

// ReadAt reads at an offset, whatever others do with the file.
func (f *file) ReadAt(b []byte, off int64) (int, error) { return f.f.ReadAt(b, off) }

// release closes the file when the last who uses it is done. A nil file is
// released already.
func (f *file) release() {
	if f == nil {
		return
	}
	f.shelf.mu.Lock()
	f.users--
	last := f.users == 0
	if last && f.shelf.files[f.id] == f {
		delete(f.shelf.files, f.id)
	}
	f.shelf.mu.Unlock()
	if last {
		f.f.Close()
	}
}

// shelf holds the files that are open, so that each is open once.
type shelf struct {
	mu    sync.Mutex // guards what follows, and the users of the files
	files map[identity]*file
}

// put makes a file of f. If it is to be shared and is open already, f is closed
// and the one that is open returned.
func (s *shelf) put(f *os.File, info fs.FileInfo, shared bool) *file {
	id := identify(info)
	n := &file{f: f, fd: int(f.Fd()), size: info.Size(), modified: info.ModTime(), id: id, shelf: s, users: 1}
	if !shared || id == (identity{}) {
		n.mine = true
		return n
	}
	s.mu.Lock()
	have, ok := s.files[id]
	if ok {
		have.users++
	} else {
		if s.files == nil {
			s.files = make(map[identity]*file)
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

// extent is a file as http.ServeContent reads it, of the size it was promised
// with.
type extent struct {
	f    *file
	off  int64
	size int64
}

// Seek moves the offset, which is the extent's own.
func (e *extent) Seek(off int64, whence int) (int64, error) {
	switch whence {
	case io.SeekStart:
		e.off = off
	case io.SeekCurrent:
		e.off += off
	case io.SeekEnd:
		e.off = e.size + off
	}
	return e.off, nil
}

// Read reads what was promised; a file that has less has been truncated.
func (e *extent) Read(b []byte) (int, error) {
	if e.off >= e.size {
		return 0, io.EOF
	}
	n, err := e.f.ReadAt(b[:min(int64(len(b)), e.size-e.off)], e.off)
	e.off += int64(n)
	if n > 0 {
		return n, nil
	}
	if err == io.EOF {
		err = ErrTruncated
	}
	return 0, err
}

// contentType is the type of a file by its name, or else by how it begins.
func contentType(name string, f *file) string {
	if t := mime.TypeByExtension(filepath.Ext(name)); t != "" {
		return t
	}
	var b [512]byte
	n, _ := f.ReadAt(b[:], 0)
	return http.DetectContentType(b[:n])
}

// isAbsent reports whether err says that a path can have no file.
func isAbsent(err error) bool {
	if errno.Is(err, syscall.ENAMETOOLONG) || errno.Is(err, syscall.ENOTDIR) || errors.Is(err, syscall.ELOOP) {
		return true
	}
	// os has no name for the error of a path that leaves its Root.
	var pe *fs.PathError
	return errors.As(err, &pe) && pe.Err != nil && pe.Err.Error() == "path escapes from parent"
}
