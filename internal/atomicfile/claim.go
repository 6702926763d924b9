package atomicfile

import (
	"errors"
	"io/fs"
	"os"
)

// Dir is where files have names. An [*os.Root] is one.
type Dir interface {
	Link(from, to string) error
	Rename(from, to string) error
	Remove(name string) error
	Lstat(name string) (fs.FileInfo, error)
	OpenFile(name string, flag int, perm fs.FileMode) (*os.File, error)
}

// NameNew gives the file called temp a name that no file has, in one step. An error that
// matches [fs.ErrExist] says that the name is taken. Afterwards the file can still have its
// old name, too.
//
// On a file system without hard links NameNew claims the name with an empty file, which it
// then replaces. Others can see that file for a moment, and a process that replaces it just
// then, without looking whether the name is taken, loses its own file.
func NameNew(in Dir, temp, name string) error {
	err := in.Link(temp, name)
	if err == nil || errors.Is(err, fs.ErrExist) || errors.Is(err, fs.ErrNotExist) {
		return err
	}
	f, err := in.OpenFile(name, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return err
	}
	claim, serr := f.Stat()
	f.Close()
	err = in.Rename(temp, name)
	if err == nil || serr != nil {
		return err
	}
	_, rerr := RemoveSame(in, name, claim)
	return errors.Join(err, rerr)
}

// RemoveSame removes the file called name if it is still the file that was describes, with
// as many bytes. It reports whether it did: it is no error if the file is another one, or
// gone.
func RemoveSame(in Dir, name string, was fs.FileInfo) (removed bool, err error) {
	now, err := in.Lstat(name)
	if err == nil {
		if !os.SameFile(was, now) || was.Size() != now.Size() {
			return false, nil
		}
		err = in.Remove(name)
	}
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	return err == nil, err
}

// paths is the Dir of all files of the process.
type paths struct{}

func (paths) Link(from, to string) error             { return os.Link(from, to) }
func (paths) Rename(from, to string) error           { return os.Rename(from, to) }
func (paths) Remove(name string) error               { return os.Remove(name) }
func (paths) Lstat(name string) (fs.FileInfo, error) { return os.Lstat(name) }

func (paths) OpenFile(name string, flag int, perm fs.FileMode) (*os.File, error) {
	return os.OpenFile(name, flag, perm)
}
