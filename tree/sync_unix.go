//go:build unix

package tree

import (
	"io/fs"
	"os"
	"syscall"

	"github.com/weir-go/weir/internal/atomicfile"
)

// openPlain opens a file for reading. O_NONBLOCK keeps a named pipe that took
// the file's place from waiting for its writer.
func openPlain(root *os.Root, name string) (*os.File, error) {
	return root.OpenFile(name, os.O_RDONLY|syscall.O_NONBLOCK|syscall.O_NOFOLLOW, 0)
}

// keep gives what is called name, and open if that is not nil, the owner and the
// permissions of the source as [atomicfile.Keep] does.
func keep(root *os.Root, name string, open *os.File, info fs.FileInfo) error {
	if open == nil {
		var err error
		if open, err = openPlain(root, name); err != nil {
			return err
		}
		defer open.Close()
	}
	return atomicfile.Keep(open, info)
}
