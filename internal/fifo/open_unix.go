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

// openBothWays opens a named pipe as reader and writer at once, which never
// waits and satisfies whoever waits for either.
func openBothWays(name string) (*os.File, error) {
	return os.OpenFile(name, os.O_RDWR|syscall.O_NONBLOCK, 0)
}
