package atomicfile

import (
	"io/fs"
	"os"
	"syscall"
	"time"
	"unsafe"
)

// timesByName is whether times are set by the file's name, when it is closed.
const timesByName = false

// setTimes sets the time of the last modification of f. By its name it might be
// another file's.
func setTimes(f *os.File, modified time.Time) error {
	const omit = 1<<30 - 2 // UTIME_OMIT: the time of the last access stays
	ts := [2]syscall.Timespec{{Nsec: omit}, syscall.NsecToTimespec(modified.UnixNano())}
	c, err := f.SyscallConn()
	if err != nil {
		return err
	}
	var errno syscall.Errno
	if err := c.Control(func(fd uintptr) {
		_, _, errno = syscall.Syscall6(syscall.SYS_UTIMENSAT, fd, 0, uintptr(unsafe.Pointer(&ts)), 0, 0, 0)
	}); err != nil {
		return err
	}
	if errno != 0 {
		return &fs.PathError{Op: "utimensat", Path: f.Name(), Err: errno}
	}
	return nil
}
