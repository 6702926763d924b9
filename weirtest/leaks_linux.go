package weirtest

import (
	"os"
	"path/filepath"
	"strings"
)

// openFiles returns the names of the files that the process has open, once for
// each descriptor.
func openFiles() (names []string) {
	const dir = "/proc/self/fd"
	list, err := os.ReadDir(dir)
	if err != nil {
		return nil
	}
	for _, d := range list {
		// The descriptor that reads the folder is listed, and closed by now.
		name, err := os.Readlink(filepath.Join(dir, d.Name()))
		if err != nil {
			continue
		}
		// The runtime opens these when it first needs them, and keeps them.
		if strings.HasPrefix(name, "anon_inode:[event") {
			continue
		}
		names = append(names, name)
	}
	return names
}
