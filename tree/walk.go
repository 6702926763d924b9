package tree

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"sync/atomic"

	"github.com/weir-go/weir/internal/atomicfile"
)

// folder is a folder on both sides. It stays open until everything in it has
// been copied; then its metadata is set, which changes inside would undo.
type folder struct {
	job      *job
	parent   *folder
	src, dst *os.Root
	name     string
	info     fs.FileInfo
	existed  bool         // in the destination
	refs     atomic.Int32 // files and folders in it that are in progress, and the walk
}

// entry is a file or a symbolic link to copy.
type entry struct {
	in   *folder
	name string
	link bool
}

// path returns the path of the folder below the top.
func (f *folder) path() string {
	if f.parent == nil {
		return ""
	}
	return filepath.Join(f.parent.path(), f.name)
}

func (f *folder) failed(name string, err error) error {
	var pe *fs.PathError
	if errors.As(err, &pe) {
		return &fs.PathError{Op: pe.Op, Path: filepath.Join(f.job.From, f.path(), name), Err: pe.Err}
	}
	return fmt.Errorf("%s: %w", filepath.Join(f.job.From, f.path(), name), err)
}

// there describes the entry of the destination with this name. It returns nil if there
// is none.
func (f *folder) there(name string) fs.FileInfo {
	if f.dst == nil { // the destination has no such folder yet
		return nil
	}
	st, err := f.dst.Lstat(name)
	if err != nil {
		return nil
	}
	return st
}

func (f *folder) walk(ctx context.Context, emit func([]entry) error) error {
	defer f.release()
	if f.existed {
		atomicfile.Sweep(f.dst)
	}
	dir, err := f.src.Open(".")
	if err != nil {
		if f.parent == nil { // there is nothing to copy
			return f.failed("", err)
		}
		return f.job.report(ctx, f.failed("", err))
	}
	defer dir.Close()
	names := f.names()
	for {
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		list, err := dir.ReadDir(inFlight)
		if err != nil && err != io.EOF {
			return f.job.report(ctx, f.failed("", err))
		}
		var batch []entry
		for _, d := range list {
			if f.job.isExcluded(f, d.Name(), d.IsDir()) {
				continue
			}
			names.add(d.Name())
			switch t := d.Type(); {
			case t.IsDir():
				// Pass on the entries of this folder before walking its subfolders.
				if err := f.emit(batch, emit); err != nil {
					return err
				}
				batch = nil
				if err := f.job.report(ctx, f.enter(ctx, d.Name(), emit)); err != nil {
					return err
				}
			case t.IsRegular(), t&fs.ModeSymlink != 0:
				batch = append(batch, entry{f, d.Name(), !t.IsRegular()})
			case f.job.Skip != nil:
				f.job.tell(func() { f.job.Skip(filepath.Join(f.job.From, f.path(), d.Name()), t) })
			default:
				if err := f.job.report(ctx, f.failed(d.Name(), ErrSpecial)); err != nil {
					return err
				}
			}
		}
		if err := f.emit(batch, emit); err != nil {
			return err
		}
		if err == io.EOF || len(list) == 0 {
			return f.job.report(ctx, f.compare(names))
		}
	}
}

// emit hands entries on. The folder is kept open for each of them.
func (f *folder) emit(batch []entry, emit func([]entry) error) error {
	if len(batch) == 0 {
		return nil
	}
	f.job.seen.Add(int64(len(batch)))
	f.refs.Add(int32(len(batch)))
	return emit(batch)
}

// enter walks the folder called name.
func (f *folder) enter(ctx context.Context, name string, emit func([]entry) error) error {
	info, err := f.src.Lstat(name)
	if err != nil {
		return f.failed(name, err)
	}
	src, err := f.src.OpenRoot(name)
	if err != nil {
		return f.failed(name, err)
	}
	err = f.dst.Mkdir(name, f.job.initial(info.Mode().Perm()|0o700))
	existed := errors.Is(err, fs.ErrExist) && f.job.merge
	if existed {
		err = nil
	}
	var dst *os.Root
	if err == nil {
		if dst, err = f.dst.OpenRoot(name); err != nil && existed {
			err = inTheWay(f.dst, name, err)
		}
	}
	if err != nil {
		return errors.Join(f.job.writing(f, name, err), src.Close())
	}
	in := &folder{job: f.job, parent: f, src: src, dst: dst, name: name, info: info, existed: existed}
	f.refs.Add(1)
	f.job.opened(in)
	if err := in.walk(ctx, emit); err != nil {
		return &ending{err}
	}
	return nil
}

// inTheWay names the kind of file that has the name of a folder in the destination,
// if err comes from that.
func inTheWay(dst *os.Root, name string, err error) error {
	st, lerr := dst.Lstat(name)
	switch {
	case lerr != nil || st.IsDir():
		return err
	case st.Mode()&fs.ModeSymlink != 0:
		return ErrLink
	}
	return ErrFile
}

// ending is an error of a folder further down that ends the copy.
type ending struct{ err error }

func (e *ending) Error() string { return e.err.Error() }
func (e *ending) Unwrap() error { return e.err }

// release closes the folder when nothing in it is in progress any more.
func (f *folder) release() {
	if f.refs.Add(-1) > 0 {
		return
	}
	err := errors.Join(f.finish(), f.dst.Close())
	if err != nil {
		err = f.job.writing(f, "", err)
	}
	f.job.closed(f, errors.Join(err, f.src.Close()))
	f.job.folders.Add(1)
	if f.parent != nil {
		f.parent.release()
	}
}

// metadata gives the folder the metadata of the source.
func (f *folder) metadata() error {
	src, err := f.src.Open(".")
	if err != nil {
		return err
	}
	defer src.Close()
	dst, err := f.dst.Open(".")
	if err != nil {
		return err
	}
	defer dst.Close()
	return f.job.metadata(f, ".", dst, src, f.info)
}

// finish sets the metadata of the folder.
func (f *folder) finish() error {
	perm := f.info.Mode().Perm()
	if f.job.Metadata {
		return f.metadata()
	}
	if perm&0o700 == 0o700 || f.existed {
		return nil
	}
	st, err := f.dst.Stat(".") // the umask has had its say
	if err != nil {
		return err
	}
	return f.dst.Chmod(".", st.Mode()&(perm|fs.ModeSetgid))
}

// names returns the set to collect names in, or nil if names are not needed.
func (f *folder) names() nameSet {
	if !f.job.Delete || !f.existed {
		return nil
	}
	return nameSet{}
}

// compare finds the entries that only the destination has. names are the names
// in the source.
func (f *folder) compare(names nameSet) error {
	if names == nil {
		return nil
	}
	found, err := compare(f.dst, f.path(), names, f.job.exclude)
	if err != nil {
		return f.job.writing(f, "", err)
	}
	f.job.mu.Lock()
	defer f.job.mu.Unlock()
	f.job.extra = append(f.job.extra, found...)
	return nil
}
