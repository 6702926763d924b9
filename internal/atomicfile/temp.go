package atomicfile

import (
	"crypto/rand"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"unicode/utf8"
)

const (
	tempMark   = ".weir-"
	tempSuffix = ".tmp"
	tempRandom = 16 // characters of base 32, so 80 bits
)

// IsTemp reports whether name, or the last element of the path name, is one
// that a File uses until it is committed: a dot, the name of the target,
// ".weir-", 16 random characters and ".tmp".
func IsTemp(name string) bool {
	name = filepath.Base(name)
	s, ok := strings.CutSuffix(name, tempSuffix)
	if !ok || !strings.HasPrefix(s, ".") || len(s) < len(tempMark)+tempRandom {
		return false
	}
	return strings.HasSuffix(s[:len(s)-tempRandom], tempMark)
}

// TempName returns a name for a temporary file beside a target whose last
// element is base: one that nobody can guess, that [IsTemp] tells, and of no
// more than 255 bytes.
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
// and nobody else has.
func createTemp(target string, perm fs.FileMode) (*os.File, error) {
	dir, base := filepath.Split(target)
	for try := 0; ; try++ {
		f, err := os.OpenFile(dir+TempName(base), os.O_WRONLY|os.O_CREATE|os.O_EXCL, perm)
		if !errors.Is(err, fs.ErrExist) || try == 10 {
			return f, err
		}
	}
}
