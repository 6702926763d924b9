package stamp

import (
	"io/fs"
	"syscall"
	"time"
)

func of(info fs.FileInfo) Stamp {
	st, ok := info.Sys().(*syscall.Stat_t)
	if !ok {
		return Stamp{}
	}
	return Stamp{uint64(st.Ino), time.Unix(st.Ctim.Unix())}
}
