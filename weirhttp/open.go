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
	"slices"
	"strings"
	"syscall"
	"unicode/utf8"

	"github.com/weir-go/weir/weirhttp/internal/gzipfile"
	"github.com/weir-go/weir/weirhttp/internal/names"
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
	real, outside, err := v.resolve(name)
	if err != nil {
		return nil, err
	}
	if outside {
		return os.Stat(real)
	}
	return v.root.Stat(real)
}

// openAny opens a file or folder.
func (v view) openAny(name string) (*os.File, error) {
	real, outside, err := v.resolve(name)
	if err != nil {
		return nil, err
	}
	if outside {
		return os.OpenFile(real, os.O_RDONLY|openFlags, 0)
	}
	return v.root.OpenFile(real, os.O_RDONLY|openFlags, 0)
}

// show describes an entry of the folder dir as clients get it: a link as its target.
// It returns nil if they cannot get it. leftOut reports that it is not one of the
// names that are hidden on purpose, so that somebody may miss it.
func (v view) show(dir string, d fs.DirEntry) (info fs.FileInfo, leftOut bool) {
	switch {
	case names.Withheld(d.Name(), v.hidden):
		return nil, false
	case !names.Printable(d.Name()):
		return nil, true
	}
	info, err := d.Info()
	switch {
	case err == nil && info.Mode()&fs.ModeSymlink != 0:
		if info, err = v.stat(filepath.Join(dir, d.Name())); err != nil {
			return nil, true
		}
	case err != nil:
		return nil, !errors.Is(err, fs.ErrNotExist) // it may be gone by now
	}
	if !info.IsDir() && !info.Mode().IsRegular() {
		return nil, true
	}
	return info, false
}

// resolve returns where the file called name is. If outside is set, links lead out of the
// root, and real is an absolute path. Otherwise real is below the root, and has no links.
//
// A link is served where its target is served: within the root if the names of the target
// are not withheld, and outside with Symlinks. It makes no difference whether the link is
// relative or absolute.
func (v view) resolve(name string) (real string, outside bool, err error) {
	if !v.linked(name) {
		return name, false, nil
	}
	real, outside, err = v.follow(name)
	switch {
	case err != nil:
		return "", false, err
	case outside && !v.symlinks, !outside && !names.Served(real, v.hidden):
		return "", false, &fs.PathError{Op: "open", Path: name, Err: fs.ErrNotExist}
	}
	return real, outside, nil
}

// linked reports whether there is a link in a path below the root.
func (v view) linked(name string) bool {
	if name == "." {
		return false
	}
	for i := range len(name) {
		if i > 0 && os.IsPathSeparator(name[i]) && v.isLink(name[:i]) {
			return true
		}
	}
	return v.isLink(name)
}

func (v view) isLink(name string) bool {
	info, err := v.root.Lstat(name)
	return err == nil && info.Mode()&fs.ModeSymlink != 0
}

// mostLinks is how many links can be on the way to a file, as on Linux.
const mostLinks = 40

// follow follows the links in a path below the root.
func (v view) follow(name string) (real string, outside bool, err error) {
	todo := elements(name)
	real = "."
	for links := 0; len(todo) > 0; {
		e := todo[0]
		todo = todo[1:]
		if e == ".." && real == "." {
			home, err := v.home()
			if err != nil {
				return "", false, err
			}
			return v.enter(home, filepath.Join(filepath.Dir(home), filepath.Join(todo...)))
		}
		next := filepath.Join(real, e)
		target, err := v.root.Readlink(next)
		if err != nil { // not a link, or nothing at all
			if _, err := v.root.Lstat(next); err != nil {
				return "", false, err
			}
			real = next
			continue
		}
		if links++; links > mostLinks {
			return "", false, &fs.PathError{Op: "open", Path: name, Err: syscall.ELOOP}
		}
		if filepath.IsAbs(target) {
			home, err := v.home()
			if err != nil {
				return "", false, err
			}
			return v.enter(home, filepath.Join(target, filepath.Join(todo...)))
		}
		todo = append(elements(target), todo...)
	}
	return real, false, nil
}

// enter resolves an absolute path, which can lead back to the root, whose path is home.
func (v view) enter(home, path string) (real string, outside bool, err error) {
	if real, err = filepath.EvalSymlinks(path); err != nil {
		if !v.symlinks { // nobody needs to know why
			err = &fs.PathError{Op: "open", Path: path, Err: fs.ErrNotExist}
		}
		return "", false, err
	}
	if rel, err := filepath.Rel(home, real); err == nil && filepath.IsLocal(rel) {
		return rel, false, nil
	}
	return real, true, nil
}

// home returns the path of the root without links.
func (v view) home() (string, error) {
	home, err := filepath.Abs(v.root.Name())
	if err == nil {
		home, err = filepath.EvalSymlinks(home)
	}
	if err != nil {
		return "", err
	}
	// The folder may have been moved since it was opened.
	there, err := os.Stat(home)
	if err != nil {
		return "", err
	}
	here, err := v.root.Stat(".")
	if err != nil {
		return "", err
	}
	if !os.SameFile(here, there) {
		return "", &fs.PathError{Op: "open", Path: home, Err: fs.ErrNotExist}
	}
	return home, nil
}

// elements returns the names in a path. Those that mean the folder itself are left out.
func elements(path string) []string {
	list := strings.FieldsFunc(path, func(r rune) bool { return r < utf8.RuneSelf && os.IsPathSeparator(uint8(r)) })
	return slices.DeleteFunc(list, func(e string) bool { return e == "." })
}

// openFile opens a regular file, which several downloads share if shared is set. The
// caller must release it.
func (v view) openFile(name string, shared bool) (*openfile.File, error) {
	f, info, err := v.openRegular(name)
	if err != nil {
		return nil, err
	}
	return v.shelf.Put(f, info, shared), nil
}

// openRegular opens a regular file, and refuses folders, pipes and devices.
func (v view) openRegular(name string) (*os.File, fs.FileInfo, error) {
	f, err := v.openAny(name)
	if err != nil {
		return nil, nil, err
	}
	info, err := f.Stat()
	if err == nil && !info.Mode().IsRegular() {
		err = fmt.Errorf("open %s: %w", name, errSpecial)
	}
	if err != nil {
		f.Close()
		return nil, nil, err
	}
	return f, info, nil
}

// openGrowing opens a regular file, or the file of an upload in progress.
func (v view) openGrowing(name string, up *arrival) (*os.File, error) {
	if up != nil {
		return up.open()
	}
	f, _, err := v.openRegular(name)
	return f, err
}

// arrivalOf returns the upload in progress that will be the file called name, nil if there
// is none. Links on the way to its folder are followed as for files.
func (v view) arrivalOf(name string) *arrival {
	real, outside, err := v.resolve(filepath.Dir(name))
	if err != nil || !names.Served(name, v.hidden) {
		return nil
	}
	if !outside {
		home, err := v.home()
		if err != nil {
			return nil
		}
		real = filepath.Join(home, real)
	}
	return arriving.find(filepath.Join(real, filepath.Base(name)))
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
