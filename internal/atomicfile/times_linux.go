package atomicfile

import (
	"io/fs"
	"os"
	"syscall"
	"unsafe"
)

// timesByName is whether times are set by the file's name, when it is closed.
const timesByName = false

// Times returns the times of last access and last modification of info as
// utimensat(2) takes them. What is not known stays as it is.
func Times(info fs.FileInfo) [2]syscall.Timespec {
	const omit = 1<<30 - 2 // UTIME_OMIT
	if st, ok := info.Sys().(*syscall.Stat_t); ok && st.Mtim != (syscall.Timespec{}) {
		return [2]syscall.Timespec{st.Atim, st.Mtim}
	}
	return [2]syscall.Timespec{{Nsec: omit}, syscall.NsecToTimespec(info.ModTime().UnixNano())}
}

// setTimes gives f the times of like, of the last access and of the last
// modification. By its name it might be another file's.
func setTimes(f *os.File, like fs.FileInfo) error {
	ts := Times(like)
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
