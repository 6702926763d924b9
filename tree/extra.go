package tree

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/weir-go/weir/internal/atomicfile"
	"github.com/weir-go/weir/internal/errno"
)

// extra is something in the destination that the source does not have.
type extra struct {
	path   string   // below the top
	beside []string // names in the same folder of the source that a file system may treat as the same name
}

// nameSet has the names in one folder of the source. A nil set ignores names.
type nameSet map[string]struct{}

func (s nameSet) add(name string) {
	if s != nil {
		s[name] = struct{}{}
	}
}

// names returns the set to collect names in, or nil if names are not needed.
func (f *folder) names() nameSet {
	if !f.job.Delete || !f.existed {
		return nil
	}
	return nameSet{}
}

// isExcluded reports whether the entry name of f is left out.
func (j *job) isExcluded(f *folder, name string, isFolder bool) bool {
	if len(j.exclude) == 0 {
		return false
	}
	return excluded(j.exclude, filepath.ToSlash(filepath.Join(f.path(), name)), isFolder)
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

func compare(dst *os.Root, at string, names nameSet, exclude []pattern) (found []extra, err error) {
	list, err := fs.ReadDir(dst.FS(), ".")
	for _, d := range list {
		name := d.Name()
		path := filepath.Join(at, name)
		if _, ok := names[name]; ok || atomicfile.IsTemp(name) || excluded(exclude, filepath.ToSlash(path), d.IsDir()) {
			continue
		}
		x := extra{path: path}
		for other := range names {
			if mayBeSame(name, other) {
				x.beside = append(x.beside, filepath.Join(at, other))
			}
		}
		found = append(found, x)
	}
	return found, err
}

// mayBeSame reports whether a file system could take two names for one: some
// ignore case, and some how a letter with an accent is composed.
func mayBeSame(a, b string) bool {
	return strings.EqualFold(a, b) || !isASCII(a) && !isASCII(b)
}

func isASCII(s string) bool {
	for i := range len(s) {
		if s[i] >= 0x80 {
			return false
		}
	}
	return true
}

// remove removes the entries that the source does not have.
func (j *job) remove(ctx context.Context) error {
	root, err := os.OpenRoot(j.to)
	if err != nil {
		return err
	}
	defer root.Close()
	for _, x := range j.extra {
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		if x.isCopied(root) {
			continue
		}
		_, removed, err := j.surplus(root, x.path, true)
		for _, path := range removed {
			j.deletions.Add(1)
			if j.Deleted != nil {
				j.tell(func() { j.Deleted(filepath.Join(j.To, path)) })
			}
		}
		if err != nil {
			return &WriteError{Path: filepath.Join(j.To, x.path), Err: errno.Bare(err)}
		}
	}
	return nil
}

// isCopied reports whether x is the copy of a file of the source, under a name
// that the file system treats as equal.
func (x extra) isCopied(root *os.Root) bool {
	is, err := root.Lstat(x.path)
	if err != nil {
		return true // it has gone
	}
	for _, other := range x.beside {
		if there, err := root.Lstat(other); err == nil && os.SameFile(is, there) {
			return true
		}
	}
	return false
}

// surplus finds what to remove at and below path, and removes it if remove is
// set: everything except excluded entries and the folders around them. all
// reports whether nothing of path remains; then paths has only path.
func (j *job) surplus(root *os.Root, path string, remove bool) (all bool, paths []string, err error) {
	st, err := root.Lstat(path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return true, nil, nil
	case err != nil:
		return false, nil, err
	case excluded(j.exclude, filepath.ToSlash(path), st.IsDir()):
		return false, nil, nil
	case !st.IsDir() || len(j.exclude) == 0:
		if remove {
			if err := root.RemoveAll(path); err != nil {
				return false, nil, err
			}
		}
		return true, []string{path}, nil
	}
	list, err := fs.ReadDir(root.FS(), filepath.ToSlash(path))
	if err != nil {
		return false, nil, err
	}
	all = true
	for _, d := range list {
		gone, in, err := j.surplus(root, filepath.Join(path, d.Name()), remove)
		paths = append(paths, in...)
		if err != nil {
			return false, paths, err
		}
		all = all && gone
	}
	if !all {
		return false, paths, nil
	}
	if remove {
		if err := root.Remove(path); err != nil {
			return false, paths, err
		}
	}
	return true, []string{path}, nil
}

// Plan is the work that a copy would do.
type Plan struct {
	Files, Bytes int64    // to copy, without those that are equal; symbolic links count as files
	Equal        int64    // files that the destination has already
	Delete       []string // paths to remove: files, and folders with everything in them
}

// Plan compares source and destination and changes neither. It fails where Run
// would fail because something cannot be read, or a name is taken. It calls
// Failed and Skip as Run does. A Copy that has planned must not run.
func (c *Copy) Plan(ctx context.Context) (Plan, error) {
	var p Plan
	j := newJob(c)
	var err error
	if j.exclude, err = parsePatterns(c.Exclude); err != nil {
		return p, err
	}
	if err := outside(c.From, c.To); err != nil {
		return p, err
	}
	src, err := os.OpenRoot(c.From)
	if err != nil {
		return p, err
	}
	defer src.Close()
	dst, err := os.OpenRoot(c.To)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return p, err
	}
	if err == nil {
		defer dst.Close()
	}
	j.top = &folder{job: j, src: src, dst: dst, name: "."}
	err = j.plan(ctx, &p, j.top)
	slices.Sort(p.Delete)
	if failed := j.failures.Load(); failed > 0 {
		p.Delete = nil // after a failure Run removes nothing
		if err == nil {
			err = &IncompleteError{failed, j.first}
		}
	}
	return p, err
}

func (j *job) plan(ctx context.Context, p *Plan, f *folder) error {
	list, err := fs.ReadDir(f.src.FS(), ".")
	if err != nil {
		return f.failed("", err)
	}
	names := nameSet{}
	for _, d := range list {
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		if j.isExcluded(f, d.Name(), d.IsDir()) {
			continue
		}
		names.add(d.Name())
		var err error
		switch t := d.Type(); {
		case t.IsDir():
			err = j.planFolder(ctx, p, f, d.Name())
		case t.IsRegular():
			err = j.planFile(ctx, p, entry{in: f, name: d.Name()})
		case t&fs.ModeSymlink != 0:
			err = j.planLink(p, f, d.Name())
		case j.Skip != nil:
			j.tell(func() { j.Skip(filepath.Join(j.From, f.path(), d.Name()), t) })
		default:
			err = f.failed(d.Name(), ErrSpecial)
		}
		if err := j.report(ctx, err); err != nil {
			return err
		}
	}
	if !j.Delete || f.dst == nil {
		return nil
	}
	found, err := compare(f.dst, f.path(), names, j.exclude)
	if err != nil {
		return j.writing(f, "", err)
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
		_, paths, err := j.surplus(j.top.dst, x.path, false)
		for _, path := range paths {
			p.Delete = append(p.Delete, filepath.Join(j.To, path))
		}
		if err != nil {
			return j.writing(f, filepath.Base(x.path), err)
		}
	}
	return nil
}

func (j *job) planLink(p *Plan, f *folder, name string) error {
	target, err := f.src.Readlink(name)
	if err != nil {
		return f.failed(name, err)
	}
	if j.Resume && f.dst != nil {
		if there, err := f.dst.Readlink(name); err == nil && there == target {
			p.Equal++
			return nil
		}
	}
	if err := j.taken(f, name, f.there(name)); err != nil {
		return err
	}
	p.Files++
	return nil
}

func (j *job) planFolder(ctx context.Context, p *Plan, f *folder, name string) error {
	src, err := f.src.OpenRoot(name)
	if err != nil {
		return f.failed(name, err)
	}
	defer src.Close()
	in := &folder{job: j, parent: f, src: src, name: name}
	if f.dst != nil {
		switch dst, err := f.dst.OpenRoot(name); {
		case err == nil:
			defer dst.Close()
			in.dst = dst
		case !errors.Is(err, fs.ErrNotExist):
			return j.writing(f, name, inTheWay(f.dst, name, err))
		}
	}
	if err := j.plan(ctx, p, in); err != nil {
		return &ending{err}
	}
	return nil
}

func (j *job) planFile(ctx context.Context, p *Plan, e entry) error {
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
	if j.Resume && there != nil && there.Mode().IsRegular() && there.Size() == info.Size() {
		equal := !j.Checksum && j.isCurrent(info, there)
		if dst, err := openPlain(e.in.dst, e.name); err == nil {
			if j.Checksum {
				if equal, err = j.sameContents(ctx, src, dst); err != nil {
					err = e.in.failed(e.name, err)
				}
			}
			if cerr := errors.Join(err, dst.Close()); cerr != nil {
				return cerr
			}
		}
		if equal {
			p.Equal++
			return nil
		}
	}
	if err := j.taken(e.in, e.name, there); err != nil {
		return err
	}
	p.Files++
	p.Bytes += info.Size()
	return nil
}
