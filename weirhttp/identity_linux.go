package weirhttp

import (
	"io/fs"
	"syscall"
)

// identify tells which version of which file info describes.
func identify(info fs.FileInfo) identity {
	st, ok := info.Sys().(*syscall.Stat_t)
	if !ok {
		return identity{}
	}
	return identity{
		dev: uint64(st.Dev), ino: st.Ino, size: info.Size(),
		modified: info.ModTime().UnixNano(), change: st.Ctim.Nano(),
	}
}
