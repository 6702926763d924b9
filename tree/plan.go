package tree

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
)

// Plan is the work that a copy would do.
type Plan struct {
	Files, Bytes int64    // to copy, without those that are equal; symbolic links count as files
	Equal        int64    // files that the destination has already
	Delete       []string // paths to remove: files, and folders with everything in them
}

// planner makes the plan of a job that does not run.
type planner struct {
	*job
	plan Plan
}

// folder plans what is in f.
func (p *planner) folder(ctx context.Context, f *folder) error {
	list, err := fs.ReadDir(f.src.FS(), ".")
	if err != nil {
		return f.failed("", err)
	}
	names := nameSet{}
	for _, d := range list {
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		if p.isExcluded(f, d.Name(), d.IsDir()) {
			continue
		}
		names.add(d.Name())
		var err error
		switch t := d.Type(); {
		case t.IsDir():
			err = p.below(ctx, f, d.Name())
		case t.IsRegular():
			err = p.file(ctx, entry{in: f, name: d.Name()})
		case t&fs.ModeSymlink != 0:
			err = p.link(f, d.Name())
		case p.Skip != nil:
			p.tell(func() { p.Skip(filepath.Join(p.From, f.path(), d.Name()), t) })
		default:
			err = f.failed(d.Name(), ErrSpecial)
		}
		if err := p.report(ctx, err); err != nil {
			return err
		}
	}
	if !p.Delete || f.dst == nil {
		return nil
	}
	found, err := compare(f.dst, f.path(), names, p.exclude)
	if err != nil {
		return p.writing(f, "", err)
	}
	for _, x := range found {
		same := false
		for _, other := range x.beside {
			is, err := f.dst.Lstat(filepath.Base(x.path))
			there, terr := f.dst.Lstat(filepath.Base(other))
			same = same || err == nil && terr == nil && os.SameFile(is, there)
		}
		if same {
			continue
		}
		_, paths, err := p.surplus(p.top.dst, x.path, false)
		for _, path := range paths {
			p.plan.Delete = append(p.plan.Delete, filepath.Join(p.To, path))
		}
		if err != nil {
			return p.writing(f, filepath.Base(x.path), err)
		}
	}
	return nil
}

// link plans the symbolic link called name in f.
func (p *planner) link(f *folder, name string) error {
	target, err := f.src.Readlink(name)
	if err != nil {
		return f.failed(name, err)
	}
	if p.Resume && f.dst != nil {
		if there, err := f.dst.Readlink(name); err == nil && there == target {
			p.plan.Equal++
			return nil
		}
	}
	if err := p.taken(f, name, f.there(name)); err != nil {
		return err
	}
	p.plan.Files++
	return nil
}

// below plans the folder called name in f.
func (p *planner) below(ctx context.Context, f *folder, name string) error {
	src, err := f.src.OpenRoot(name)
	if err != nil {
		return f.failed(name, err)
	}
	defer src.Close()
	in := &folder{job: p.job, parent: f, src: src, name: name}
	if f.dst != nil {
		switch dst, err := f.dst.OpenRoot(name); {
		case err == nil:
			defer dst.Close()
			in.dst = dst
		case !errors.Is(err, fs.ErrNotExist):
			return p.writing(f, name, inTheWay(f.dst, name, err))
		}
	}
	if err := p.folder(ctx, in); err != nil {
		return &ending{err}
	}
	return nil
}

// file plans a file.
func (p *planner) file(ctx context.Context, e entry) error {
	src, err := openPlain(e.in.src, e.name)
	if err != nil {
		return e.in.failed(e.name, err)
	}
	defer src.Close()
	info, err := src.Stat()
	if err != nil {
		return e.in.failed(e.name, err)
	}
	there := e.in.there(e.name)
	if p.Resume && there != nil && there.Mode().IsRegular() && there.Size() == info.Size() {
		equal := !p.Checksum && p.isCurrent(info, there)
		if dst, err := openPlain(e.in.dst, e.name); err == nil {
			if p.Checksum {
				if equal, err = p.sameContents(ctx, src, dst); err != nil {
					err = e.in.failed(e.name, err)
				}
			}
			if cerr := errors.Join(err, dst.Close()); cerr != nil {
				return cerr
			}
		}
		if equal {
			p.plan.Equal++
			return nil
		}
	}
	if err := p.taken(e.in, e.name, there); err != nil {
		return err
	}
	p.plan.Files++
	p.plan.Bytes += info.Size()
	return nil
}
