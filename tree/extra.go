package tree

import (
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/weir-go/weir/internal/atomicfile"
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
