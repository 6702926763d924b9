//go:build !windows

package tree

import "os"

// syncFile brings a file that was written before to stable storage.
func syncFile(path string) error {
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	defer f.Close()
	return f.Sync()
}
