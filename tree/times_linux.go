package tree

import (
	"io/fs"
	"os"
	"syscall"

	"github.com/weir-go/weir/internal/atomicfile"
)

// setTimes gives open the times of the source.
func setTimes(_ *os.Root, _ string, open *os.File, info fs.FileInfo) error {
	return utimes(open, nil, info, 0)
}

// keepLink gives the symbolic link called name the times and the owner of the
// source.
func keepLink(root *os.Root, name string, info fs.FileInfo) error {
	keepOwner(root, name, info)
	const noFollow = 0x100 // AT_SYMLINK_NOFOLLOW
	dir, err := root.Open(".")
	if err != nil {
		return err
	}
	defer dir.Close()
	c, err := syscall.BytePtrFromString(name)
	if err != nil {
		return err
	}
	return utimes(dir, c, info, noFollow)
}

func utimes(f *os.File, name *byte, info fs.FileInfo, flags uintptr) error {
	err := atomicfile.Utimensat(f, name, info, flags)
	if errno, ok := err.(syscall.Errno); ok {
		return os.NewSyscallError("utimensat", errno)
	}
	return err
}
