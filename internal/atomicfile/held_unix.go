//go:build unix

package atomicfile

import (
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"syscall"
)

// heldDescriptor recognizes the names under which systems offer a process its
// own descriptors. Another program opened such a file and still uses it, so it
// must be neither replaced nor truncated.
func heldDescriptor(name string) (fd int, ok bool) {
	dir, base := filepath.Split(name)
	switch dir {
	case "/dev/fd/", "/proc/self/fd/", fmt.Sprintf("/proc/%d/fd/", os.Getpid()):
	case "/dev/":
		switch base { // links on Linux, devices elsewhere
		case "stdin":
			return 0, true
		case "stdout":
			return 1, true
		case "stderr":
			return 2, true
		}
		return -1, false
	default:
		return -1, false
	}
	n, err := strconv.ParseUint(base, 10, 31)
	return int(n), err == nil
}

// duplicate returns a file of our own that shares the position and the flags
// of descriptor fd.
func duplicate(fd int, name string) (*os.File, error) {
	syscall.ForkLock.RLock()
	defer syscall.ForkLock.RUnlock()
	n, err := syscall.Dup(fd)
	if err != nil {
		return nil, err
	}
	syscall.CloseOnExec(n)
	return os.NewFile(uintptr(n), name), nil
}
