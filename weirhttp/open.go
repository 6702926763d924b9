package weirhttp

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"net/http"
	"os"
	"path/filepath"

	"github.com/weir-go/weir/weirhttp/internal/gzipfile"
	"github.com/weir-go/weir/weirhttp/internal/negotiate"
	"github.com/weir-go/weir/weirhttp/internal/openfile"
)

// view is the part of a file system that a FileServer shows to its clients.
type view struct {
	root     *os.Root
	hidden   bool // show names that begin with a dot
	symlinks bool // follow symbolic links out of root
	shelf    *openfile.Shelf
	log      *slog.Logger
}

// stat describes a file without opening it. Opening a pipe can wait, and opening a device
// can have an effect.
func (v view) stat(name string) (fs.FileInfo, error) {
	info, err := v.root.Stat(name)
	if err != nil && v.symlinks && !errors.Is(err, fs.ErrNotExist) {
		return os.Stat(filepath.Join(v.root.Name(), name))
	}
	return info, err
}

// openAny opens a file or folder.
func (v view) openAny(name string) (*os.File, error) {
	f, err := v.root.OpenFile(name, os.O_RDONLY|openFlags, 0)
	if err != nil && v.symlinks && !errors.Is(err, fs.ErrNotExist) {
		return os.OpenFile(filepath.Join(v.root.Name(), name), os.O_RDONLY|openFlags, 0)
	}
	return f, err
}

// openFile opens a regular file, which several downloads share if shared is set. The
// caller must release it.
func (v view) openFile(name string, shared bool) (*openfile.File, error) {
	f, err := v.openAny(name)
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
	return v.shelf.Put(f, info, shared), nil
}

// precompressed opens the compressed sibling to send for the file f called name, and
// returns its Content-Encoding. It returns nil if there is none that the client accepts.
func (v view) precompressed(r *http.Request, name string, f *openfile.File, shared bool) (*openfile.File, string) {
	accept := r.Header.Values("Accept-Encoding")
	if len(accept) == 0 {
		return nil, ""
	}
	for _, c := range [...]struct {
		coding, suffix string
		whole          func(sibling io.ReaderAt, size, plain int64) bool // nil: clients decode all of the file
	}{{"zstd", ".zst", nil}, {"gzip", ".gz", gzipfile.OneMember}} {
		if !negotiate.Accepts(accept, c.coding) {
			continue
		}
		info, err := v.stat(name + c.suffix)
		if err != nil || !info.Mode().IsRegular() || info.ModTime().Before(f.Modified) {
			continue
		}
		better, err := v.openFile(name+c.suffix, shared)
		if err != nil {
			continue
		}
		// The name can lead to another file than a moment ago.
		if better.Modified.Before(f.Modified) || c.whole != nil && !c.whole(better, better.Size, f.Size) {
			better.Release()
			continue
		}
		return better, c.coding
	}
	return nil, ""
}
