//go:build linux || darwin

package quota

import (
	"errors"
	"os"
	"syscall"
)

// FreeSpace returns how many bytes this process can still write to the file system of
// dir.
func FreeSpace(dir *os.File) (int64, error) {
	conn, err := dir.SyscallConn()
	if err != nil {
		return 0, err
	}
	var st syscall.Statfs_t
	var serr error
	err = conn.Control(func(fd uintptr) {
		for {
			if serr = syscall.Fstatfs(int(fd), &st); serr != syscall.EINTR {
				return
			}
		}
	})
	if err := errors.Join(err, serr); err != nil {
		return 0, err
	}
	return clampFree(st.Bavail, uint64(st.Bsize)), nil
}
