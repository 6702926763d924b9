// Package fd works on the descriptors of files, or on their handles on Windows.
package fd

import "os"

// Control calls do with the descriptor of f and returns the error of do. The
// descriptor stays open during the call.
func Control(f *os.File, do func(fd uintptr) error) error {
	c, err := f.SyscallConn()
	if err != nil {
		return err
	}
	cerr := c.Control(func(fd uintptr) { err = do(fd) })
	if cerr != nil {
		return cerr
	}
	return err
}
