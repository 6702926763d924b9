//go:build unix

package sparse

import (
	"io/fs"
	"syscall"
)

func isSparse(info fs.FileInfo) bool {
	st, ok := info.Sys().(*syscall.Stat_t)
	return ok && st.Blocks*512 < info.Size()
}
