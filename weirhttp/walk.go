package weirhttp

import (
	"context"
	"errors"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"

	"github.com/weir-go/weir/weirhttp/internal/openfile"
)

// walker visits the contents of an archive of a folder: the names that a listing shows,
// except those that cannot be read, and links to folders that are in the archive anyway.
type walker struct {
	view  view
	ctx   context.Context
	batch int // names of a folder that are in memory at a time, at each level of the tree

	// visit is called for each folder, before its contents, and for each file. as is the
	// name in the archive, with slashes. f is nil for a folder; the walker releases
	// it. An error ends the walk.
	visit func(as string, info fs.FileInfo, f *openfile.File) error
	// files says that visit needs the files open. Otherwise f can be nil for them too.
	files bool

	leftOut int      // names that somebody may miss
	linked  []string // the real folders that are in the archive, besides those within them
}

// walk visits the folder called name, as the folder called as.
func (w *walker) walk(name, as string) error {
	real, outside, err := w.view.resolve(name)
	if err != nil {
		return err
	}
	w.linked = []string{cleaned(real, outside)}
	dir, err := w.view.openAny(name)
	if err != nil {
		return err
	}
	return w.folder(dir, name, as)
}

// folder visits a folder and closes dir.
func (w *walker) folder(dir *os.File, name, as string) error {
	defer dir.Close()
	info, err := dir.Stat()
	if err == nil {
		err = w.visit(as, info, nil)
	}
	for err == nil {
		var entries []fs.DirEntry
		entries, err = dir.ReadDir(w.batch)
		if err == nil && len(entries) < w.batch {
			err = io.EOF
			dir.Close() // a deep tree must not need a descriptor for each level
		}
		slices.SortFunc(entries, func(a, b fs.DirEntry) int { return strings.Compare(a.Name(), b.Name()) })
		for _, d := range entries {
			if w.ctx.Err() != nil {
				return context.Cause(w.ctx)
			}
			if err := w.entry(d, name, as); err != nil {
				return err
			}
		}
	}
	if err == io.EOF {
		return nil
	}
	return err
}

// entry visits one file or folder of the folder called dir. It leaves out one that cannot
// be read: the client wants the others all the same.
func (w *walker) entry(d fs.DirEntry, dir, as string) error {
	info, leftOut := w.view.show(dir, d)
	if info == nil {
		if leftOut {
			w.leftOut++
		}
		return nil
	}
	name, as := filepath.Join(dir, d.Name()), path.Join(as, d.Name())
	if info.IsDir() {
		if d.Type()&fs.ModeSymlink != 0 && !w.once(name) {
			w.leftOut++
			return nil
		}
		f, err := w.view.openAny(name)
		if err != nil {
			return w.leave(name, err)
		}
		return w.folder(f, name, as)
	}
	if !w.files && info.Mode()&0o444 == 0o444 { // it can most likely be read
		return w.visit(as, info, nil)
	}
	f, err := w.view.openFile(name, false)
	if err != nil {
		return w.leave(name, err)
	}
	defer f.Release()
	if info, err = f.F.Stat(); err != nil {
		return err
	}
	f.Size, f.Modified = info.Size(), info.ModTime() // nobody shares it
	return w.visit(as, info, f)
}

// leave returns err unless the archive can do without the file that could not be opened.
func (w *walker) leave(name string, err error) error {
	switch {
	case errors.Is(err, fs.ErrNotExist): // it is gone by now
		return nil
	case errors.Is(err, fs.ErrPermission), errors.Is(err, errSpecial):
		w.view.log.Warn("file left out of an archive", "name", name, "error", err)
		w.leftOut++
		return nil
	}
	return err
}

// once reports whether the folder that a link leads to is not in the archive yet, and has
// not the folders in it that are. So no link makes an archive endless, or very long.
func (w *walker) once(name string) bool {
	real, outside, err := w.view.resolve(name)
	if err != nil {
		return false
	}
	real = cleaned(real, outside)
	for _, have := range w.linked {
		if within(real, have) || within(have, real) {
			return false
		}
	}
	w.linked = append(w.linked, real)
	return true
}

// cleaned makes paths that resolve returns comparable.
func cleaned(real string, outside bool) string {
	if outside {
		return real
	}
	return filepath.Join(".", real)
}

// within reports whether a path leads to a folder, or to something in it.
func within(path, folder string) bool {
	return folder == "." && !filepath.IsAbs(path) || path == folder || strings.HasPrefix(path, folder+string(filepath.Separator))
}
