package stdio

import (
	"fmt"
	"io/fs"
	"os"
	"syscall"
	"time"
)

// openAgain opens what fd refers to once more, non-blocking, which makes a
// description of its own, with flags of its own. It returns nil where that is
// of no use or not allowed.
func openAgain(fd uintptr, flag int, mode fs.FileMode, name string) *os.File {
	if mode&(fs.ModeNamedPipe|fs.ModeCharDevice) == 0 {
		return nil
	}
	path := fmt.Sprintf("/proc/self/fd/%d", fd)
	n, err := syscall.Open(path, flag|syscall.O_NONBLOCK|syscall.O_NOCTTY|syscall.O_CLOEXEC, 0)
	if err != nil {
		return nil
	}
	f := os.NewFile(uintptr(n), name)
	// A device that cannot be waited for must not be non-blocking.
	if f.SetDeadline(time.Time{}) != nil {
		f.Close()
		return nil
	}
	return f
}
