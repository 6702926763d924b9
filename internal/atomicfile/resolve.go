package atomicfile

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"
)

// place is what a path leads to.
type place struct {
	name string      // absolute, behind symbolic links
	info fs.FileInfo // nil if nothing is there yet
	fd   int         // a descriptor that the process holds open, for /dev/stdout and the like; or -1
}

// straight reports whether the place must be written to as it is: a device, a
// pipe, or a file that is already open cannot be replaced by another.
func (p place) straight() bool {
	return p.fd >= 0 || p.info != nil && !p.info.Mode().IsRegular()
}

// maxLinks is how many symbolic links in a row systems follow.
const maxLinks = 40

// ErrDangling is the error for a target that is a symbolic link to a file that
// does not exist. The owner of the link would choose where the new file is
// created.
var ErrDangling = errors.New("symbolic link to a file that does not exist")

// Target follows symbolic links and returns the path of the file that Open
// would write for path. It also returns the existing file there, or nil.
func Target(path string) (string, fs.FileInfo, error) {
	p, err := resolve(path)
	return p.name, p.info, err
}

// resolve follows the symbolic links that path ends in, so that the file they
// lead to is replaced and not the link.
func resolve(path string) (place, error) {
	if path == "" {
		return place{}, syscall.ENOENT
	}
	name := absolute(path)
	for links := range maxLinks {
		if fd, ok := heldDescriptor(name); ok {
			info, err := os.Stat(name)
			return place{name, info, fd}, err
		}
		info, err := os.Lstat(name)
		if errors.Is(err, fs.ErrNotExist) {
			if os.IsPathSeparator(name[len(name)-1]) {
				return place{}, syscall.EISDIR
			}
			if links > 0 {
				return place{}, ErrDangling
			}
			return place{name, nil, -1}, nil
		}
		if err != nil {
			return place{}, err
		}
		if info.IsDir() {
			return place{}, syscall.EISDIR
		}
		if info.Mode()&fs.ModeSymlink == 0 {
			return place{name, info, -1}, nil
		}
		link, err := os.Readlink(name)
		if err != nil {
			return place{}, err
		}
		if !filepath.IsAbs(link) {
			// Not filepath.Join, which takes ".." off a name without asking
			// whether that name is a link itself.
			dir, _ := filepath.Split(name)
			link = dir + link
		}
		name = link
	}
	return place{}, syscall.ELOOP
}
