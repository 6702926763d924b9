package weirhttp

import (
	"os"

	"golang.org/x/sys/unix"
)

// beginFlush asks for a part of f to be written to the disk and does not wait
// for it (sync_file_range(2)).
func beginFlush(f *os.File, off, n int64) error {
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
