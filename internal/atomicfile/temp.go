package atomicfile

import (
	"crypto/rand"
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"unicode/utf8"

	"github.com/weir-go/weir/internal/lock"
)

const (
	tempMark   = ".weir-"
	tempSuffix = ".tmp"
	tempRandom = 16 // characters of base 32, so 80 bits
)

// IsTemp reports whether name, or the last element of the path name, is one
// that a File uses until it is committed: a dot, the name of the target,
// ".weir-", 16 random characters of base 32 and ".tmp".
func IsTemp(name string) bool {
	name = filepath.Base(name)
	s, ok := strings.CutSuffix(name, tempSuffix)
	if !ok || !strings.HasPrefix(s, ".") || len(s) < len(tempMark)+tempRandom {
		return false
	}
	for _, c := range s[len(s)-tempRandom:] {
		if (c < 'A' || c > 'Z') && (c < '2' || c > '7') {
			return false
		}
	}
	return strings.HasSuffix(s[:len(s)-tempRandom], tempMark)
}

// TempName returns a name for a temporary file beside a target whose last
// element is base: one that nobody can guess, that [IsTemp] recognizes, and
// that has at most 255 bytes.
func TempName(base string) string {
	// File systems end names at 255 bytes; some insist on valid UTF-8.
	const longest = 255 - 1 - len(tempMark) - tempRandom - len(tempSuffix)
	if len(base) > longest {
		base = base[:longest]
		for len(base) > 0 && !utf8.ValidString(base[max(0, len(base)-utf8.UTFMax):]) {
			base = base[:len(base)-1]
		}
	}
	return "." + base + tempMark + rand.Text()[:tempRandom] + tempSuffix
}

// createTemp creates a file beside target, under a name that nobody can guess
// and nobody else has, and locks it against [Sweep].
func createTemp(target string, perm fs.FileMode) (*os.File, error) {
	dir, base := filepath.Split(target)
	return Temp(func() (*os.File, error) {
		return os.OpenFile(dir+TempName(base), os.O_WRONLY|os.O_CREATE|os.O_EXCL, perm)
	}, os.Lstat)
}

// tempTries is how many files [Temp] creates before it gives up. A sweep that
// runs at the same moment may well take one of them, between its creation and
// its lock. Sweeps that follow each other on all processors take a dozen in a
// row, as a test shows; a thousand in a row means that the file system has no
// stable identities for files.
const tempTries = 1000

// Temp calls create until it has a file that is new and that no [Sweep] has
// taken before it was locked. lstat looks up the name of the file. The lock
// lasts until the file is closed.
func Temp(create func() (*os.File, error), lstat func(name string) (fs.FileInfo, error)) (*os.File, error) {
	for try := 0; ; try++ {
		f, err := create()
		switch {
		case err == nil && lock.Claim(f, func() (fs.FileInfo, error) { return lstat(f.Name()) }):
			return f, nil
		case err == nil:
			f.Close()
			err = errTaken
		case !errors.Is(err, fs.ErrExist):
			return nil, err
		}
		if try == tempTries {
			return nil, err
		}
	}
}

// errTaken is the error of [Temp] when no file it created was its own.
var errTaken = errors.New("temporary files disappear as soon as they are created")

// sweepable is how many names of a folder a sweep looks at. Reading more would
// take longer than the leftovers are worth.
const sweepable = 100_000

// Sweep removes the temporary files and folders that killed processes have left
// in root, since no process has them locked, and returns how many it removed.
// Files that it may not remove stay, and are no error. Without locks it does
// nothing.
func Sweep(root *os.Root) (removed int) {
	if !Sweeps {
		return 0
	}
	dir, err := root.Open(".")
	if err != nil {
		return 0
	}
	defer dir.Close()
	for seen := 0; seen < sweepable; {
		list, err := dir.ReadDir(1000)
		for _, e := range list {
			if IsTemp(e.Name()) && (e.Type().IsRegular() || e.IsDir()) && sweep(root, e.Name()) {
				removed++
			}
		}
		if seen += len(list); err != nil || len(list) == 0 {
			if err != io.EOF {
				return removed
			}
			break
		}
	}
	return removed
}

// SweepDir is Sweep of the folder called dir.
func SweepDir(dir string) (removed int) {
	root, err := os.OpenRoot(dir)
	if err != nil {
		return 0
	}
	defer root.Close()
	return Sweep(root)
}

func sweep(root *os.Root, name string) bool {
	f, err := openLeft(root, name)
	if err != nil {
		return false
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil || lock.Try(f) != nil || !lock.IsNamed(f, func() (fs.FileInfo, error) { return root.Lstat(name) }) {
		return false
	}
	if info.IsDir() {
		return ours(info) && root.RemoveAll(name) == nil
	}
	return info.Mode().IsRegular() && root.Remove(name) == nil
}
