//go:build unix

package fifo

import (
	"io/fs"
	"os"
	"syscall"
)

// waits reports whether opening name may have to wait for another process.
func waits(name string, flag int) bool {
	if flag&os.O_RDWR != 0 || flag&syscall.O_NONBLOCK != 0 {
		return false
	}
	fi, err := os.Stat(name)
	return err == nil && fi.Mode()&fs.ModeNamedPipe != 0
}

// openBothWays opens a named pipe for reading and writing. That never waits,
// and releases an Open that waits for the other end.
func openBothWays(name string) (*os.File, error) {
	return os.OpenFile(name, os.O_RDWR|syscall.O_NONBLOCK, 0)
}
