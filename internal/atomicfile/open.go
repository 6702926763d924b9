package atomicfile

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"syscall"

	"github.com/weir-go/weir/internal/fifo"
)

// Open begins to write the file at path. A symbolic link is followed: its
// target is written, and the link stays; one that leads nowhere is
// [ErrDangling]. A device, a named pipe and names such as /dev/stdout are
// written to straight, whatever the mode. Only a named pipe makes Open wait,
// for its reader, until ctx ends.
//
// The error is an [*Error]. A target that is a directory matches
// [syscall.EISDIR]; a file that may not be written is refused even where its
// directory would allow to replace it.
func Open(ctx context.Context, path string, opts Options) (*File, error) {
	f := &File{path: path, opts: opts}
	if err := f.begin(ctx); err != nil {
		return nil, failure("open", path, err)
	}
	return f, nil
}

func (f *File) begin(ctx context.Context) error {
	if f.opts.Offset < 0 || f.opts.Offset > 0 && f.opts.Mode != InPlace {
		return fmt.Errorf("offset %d: only a file written in place has one, of 0 or more: %w", f.opts.Offset, fs.ErrInvalid)
	}
	switch {
	case f.opts.Like != nil:
		f.opts.Perm = 0o600
	case f.opts.Perm == 0:
		f.opts.Perm = 0o666
	}
	f.opts.Perm = f.opts.Perm.Perm()
	p, err := resolve(f.path)
	if err != nil {
		return err
	}
	f.target = p.name
	if p.info != nil && (f.opts.Mode == Exclusive || f.opts.Mode == Fresh) {
		return fs.ErrExist
	}
	if p.straight() {
		f.shared = true
		f.file, err = openStraight(ctx, p)
		if err == nil && f.opts.Offset > 0 {
			err = f.seek()
		}
		return err
	}
	f.made = p.info == nil
	switch f.opts.Mode {
	case Replace, Exclusive:
		return f.openTemp(p)
	case InPlace:
		if f.file, err = os.OpenFile(p.name, os.O_WRONLY, 0); err != nil {
			return err
		}
		return f.seek()
	case Append:
		return f.openAppend()
	case Truncate:
		f.file, err = os.OpenFile(p.name, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, f.opts.Perm)
		return f.explain(err)
	case Fresh:
		f.file, err = os.OpenFile(p.name, os.O_WRONLY|os.O_CREATE|os.O_EXCL, f.opts.Perm)
		if errors.Is(err, fs.ErrExist) {
			return fs.ErrExist
		}
		return f.explain(err)
	}
	return fmt.Errorf("mode %d: %w", f.opts.Mode, fs.ErrInvalid)
}

func openStraight(ctx context.Context, p place) (*os.File, error) {
	if p.fd < 0 {
		return fifo.Open(ctx, p.name, os.O_WRONLY, 0)
	}
	// A pipe can be opened again, which makes it a file of our own that can
	// be unblocked; all else, and a pipe without a reader, is shared.
	if p.info.Mode()&fs.ModeNamedPipe != 0 {
		if f, err := os.OpenFile(p.name, os.O_WRONLY|nonblock, 0); err == nil {
			return f, nil
		}
	}
	return duplicate(p.fd, p.name)
}

func (f *File) openTemp(p place) error {
	perm := f.opts.Perm
	if p.info != nil {
		// Renaming over a file needs no permission to write to it. If the file is
		// write-protected, that is on purpose.
		w, err := os.OpenFile(p.name, os.O_WRONLY, 0)
		if errors.Is(err, fs.ErrPermission) {
			return err
		}
		if err == nil {
			w.Close()
		}
		perm = 0o600 // a private file must not be open for a moment
	}
	var err error
	if f.file, err = createTemp(p.name, perm); err != nil {
		if errors.Is(err, fs.ErrPermission) {
			return fmt.Errorf("cannot create a file beside it in %s: %w", f.dir(), cause(err))
		}
		return f.explain(err)
	}
	f.temp = f.file.Name()
	if p.info != nil && f.opts.Like == nil {
		if err := Inherit(f.file, p.info); err != nil {
			f.discard()
			return fmt.Errorf("keep permissions: %w", cause(err))
		}
	}
	return nil
}

func (f *File) openAppend() error {
	var err error
	if f.file, err = os.OpenFile(f.target, os.O_WRONLY|os.O_CREATE|os.O_APPEND, f.opts.Perm); err != nil {
		return f.explain(err)
	}
	if info, err := f.file.Stat(); err == nil {
		f.base = info.Size()
	}
	return nil
}

func (f *File) seek() error {
	f.base = f.opts.Offset
	if _, err := f.file.Seek(f.base, io.SeekStart); err != nil {
		f.file.Close()
		return fmt.Errorf("seek to %d: %w", f.base, cause(err))
	}
	return nil
}

// explain says which directory is missing, where that is why a file could not
// be created.
func (f *File) explain(err error) error {
	dir := f.dir()
	info, serr := os.Stat(dir)
	switch {
	case err == nil:
		return nil
	case errors.Is(serr, fs.ErrNotExist):
		return fmt.Errorf("directory %s: %w", dir, syscall.ENOENT)
	case serr == nil && !info.IsDir():
		return fmt.Errorf("%s is not a directory: %w", dir, syscall.ENOTDIR)
	}
	return err
}
