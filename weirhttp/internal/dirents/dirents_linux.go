package dirents

import (
	"bytes"
	"encoding/binary"
	"errors"
	"io"
	"io/fs"
	"os"
	"time"

	"golang.org/x/sys/unix"

	"github.com/weir-go/weir/internal/fd"
)

// raw holds the entries of a folder as the kernel has returned them.
type raw struct {
	buf  []byte
	left []byte // of buf, not parsed yet
	done bool
}

// The layout of struct linux_dirent64.
const (
	lengthAt = 16
	typeAt   = 18
	nameAt   = 19
)

func (r *raw) read(dir *os.File, n int) (list []fs.DirEntry, err error) {
	for len(list) < n {
		if len(r.left) == 0 {
			if r.done {
				break
			}
			if err := r.fill(dir); err != nil {
				return list, &fs.PathError{Op: "getdents64", Path: dir.Name(), Err: err}
			}
			continue
		}
		size := int(binary.NativeEndian.Uint16(r.left[lengthAt:]))
		record := r.left[:size]
		r.left = r.left[size:]
		name, _, _ := bytes.Cut(record[nameAt:], []byte{0})
		if s := string(name); s != "." && s != ".." {
			e := &entry{dir: dir, name: s}
			if e.mode, err = typeOf(record[typeAt]); err != nil {
				info, err := e.Info()
				if errors.Is(err, fs.ErrNotExist) {
					continue
				}
				if err != nil {
					return list, err
				}
				e.mode = info.Mode().Type()
			}
			list = append(list, e)
		}
	}
	if len(list) == 0 {
		return nil, io.EOF
	}
	return list, nil
}

// fill asks the kernel for more.
func (r *raw) fill(dir *os.File) error {
	if r.buf == nil {
		r.buf = make([]byte, 32<<10)
	}
	return fd.Control(dir, func(fd uintptr) error {
		for {
			n, err := unix.Getdents(int(fd), r.buf)
			if errors.Is(err, unix.EINTR) {
				continue
			}
			if err != nil {
				return err
			}
			r.left, r.done = r.buf[:n], n == 0
			return nil
		}
	})
}

var errUnknown = errors.New("the file system does not tell the type")

func typeOf(t byte) (fs.FileMode, error) {
	switch t {
	case unix.DT_REG:
		return 0, nil
	case unix.DT_DIR:
		return fs.ModeDir, nil
	case unix.DT_LNK:
		return fs.ModeSymlink, nil
	case unix.DT_FIFO:
		return fs.ModeNamedPipe, nil
	case unix.DT_SOCK:
		return fs.ModeSocket, nil
	case unix.DT_CHR:
		return fs.ModeDevice | fs.ModeCharDevice, nil
	case unix.DT_BLK:
		return fs.ModeDevice, nil
	}
	return 0, errUnknown
}

// entry is a name in a folder.
type entry struct {
	dir  *os.File
	name string
	mode fs.FileMode // the type
}

func (e *entry) Name() string      { return e.name }
func (e *entry) IsDir() bool       { return e.mode.IsDir() }
func (e *entry) Type() fs.FileMode { return e.mode }

// Info does not follow links, and does not leave the folder that is open.
func (e *entry) Info() (fs.FileInfo, error) {
	i := &info{name: e.name}
	err := fd.Control(e.dir, func(fd uintptr) error {
		for {
			err := unix.Fstatat(int(fd), e.name, &i.st, unix.AT_SYMLINK_NOFOLLOW)
			if !errors.Is(err, unix.EINTR) {
				return err
			}
		}
	})
	if err != nil {
		return nil, &fs.PathError{Op: "fstatat", Path: e.name, Err: err}
	}
	return i, nil
}

// info describes a file. It has the type, the permissions, the size and the time.
type info struct {
	name string
	st   unix.Stat_t
}

func (i *info) Name() string       { return i.name }
func (i *info) Size() int64        { return i.st.Size }
func (i *info) ModTime() time.Time { return time.Unix(i.st.Mtim.Unix()) }
func (i *info) IsDir() bool        { return i.Mode().IsDir() }
func (i *info) Sys() any           { return nil }

func (i *info) Mode() fs.FileMode {
	mode := fs.FileMode(i.st.Mode & 0o777)
	t, err := typeOf(byte(i.st.Mode >> 12)) // the DT_ types have the numbers of a mode
	if err != nil {
		return mode | fs.ModeIrregular
	}
	return mode | t
}
