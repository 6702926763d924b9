package atomicfile

import (
	"io/fs"
	"os"
	"syscall"
	"unsafe"

	"github.com/weir-go/weir/internal/fd"
)

// timesByName is whether times are set by the file's name, when it is closed.
const timesByName = false

// times returns the times of last access and last modification of info as
// utimensat(2) takes them. What is not known stays as it is.
func times(info fs.FileInfo) [2]syscall.Timespec {
	const omit = 1<<30 - 2 // UTIME_OMIT
	if st, ok := info.Sys().(*syscall.Stat_t); ok && st.Mtim != (syscall.Timespec{}) {
		return [2]syscall.Timespec{st.Atim, st.Mtim}
	}
	return [2]syscall.Timespec{{Nsec: omit}, syscall.NsecToTimespec(info.ModTime().UnixNano())}
}

// setTimes gives f the times of like, of the last access and of the last
// modification. By its name it might be another file's.
func setTimes(f *os.File, like fs.FileInfo) error {
	err := Utimensat(f, nil, like, 0)
	if errno, ok := err.(syscall.Errno); ok {
		return &fs.PathError{Op: "utimensat", Path: f.Name(), Err: errno}
	}
	return err
}

// Utimensat is utimensat(2): it gives f, or the entry name of the folder f, the
// times of like. The errors of the call are of type [syscall.Errno].
func Utimensat(f *os.File, name *byte, like fs.FileInfo, flags uintptr) error {
	ts := times(like)
	return fd.Control(f, func(fd uintptr) error {
		_, _, errno := syscall.Syscall6(syscall.SYS_UTIMENSAT, fd, uintptr(unsafe.Pointer(name)), uintptr(unsafe.Pointer(&ts)), flags, 0, 0)
		if errno != 0 {
			return errno
		}
		return nil
	})
}
