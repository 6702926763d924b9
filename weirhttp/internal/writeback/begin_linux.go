package writeback

import (
	"os"

	"golang.org/x/sys/unix"
)

// begin asks the system to write a part of f to disk and does not wait for that
// (sync_file_range(2)).
func begin(f *os.File, off, n int64) error {
	raw, err := f.SyscallConn()
	if err != nil {
		return err
	}
	var serr error
	err = raw.Control(func(fd uintptr) {
		serr = unix.SyncFileRange(int(fd), off, n, unix.SYNC_FILE_RANGE_WRITE)
	})
	if err == nil {
		err = serr
	}
	return err
}
