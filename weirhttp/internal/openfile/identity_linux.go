package openfile

import (
	"io/fs"
	"syscall"
)

// Identify returns the identity of the file that info describes.
func Identify(info fs.FileInfo) Identity {
	st, ok := info.Sys().(*syscall.Stat_t)
	if !ok {
		return Identity{}
	}
	return Identity{
		dev: uint64(st.Dev), ino: st.Ino, size: info.Size(),
		modified: info.ModTime().UnixNano(), change: st.Ctim.Nano(),
	}
}
