package xattr

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strings"
	"syscall"
	"unsafe"
)

func read(f *os.File) (attrs []Attr, err error) {
	cerr := control(f, func(fd uintptr) {
		var names []byte
		names, err = fetch(func(p unsafe.Pointer, n int) (int, error) {
			return call(syscall.SYS_FLISTXATTR, fd, uintptr(p), uintptr(n), 0, 0)
		})
		for name := range strings.SplitSeq(string(names), "\x00") {
			if !strings.HasPrefix(name, "user.") {
				continue
			}
			c, cerr := syscall.BytePtrFromString(name)
			if cerr != nil {
				continue
			}
			value, verr := fetch(func(p unsafe.Pointer, n int) (int, error) {
				return call(syscall.SYS_FGETXATTR, fd, uintptr(unsafe.Pointer(c)), uintptr(p), uintptr(n), 0)
			})
			if verr == nil { // or else it was removed meanwhile
				attrs = append(attrs, Attr{name, value})
			}
		}
	})
	if cerr != nil {
		return nil, cerr
	}
	if err != nil && !unsupported(err) {
		return nil, fmt.Errorf("read extended attributes: %w", err)
	}
	return attrs, nil
}

// fetch asks how long something is, and then for it. It may grow in between.
func fetch(get func(p unsafe.Pointer, n int) (int, error)) ([]byte, error) {
	for try := 0; ; try++ {
		n, err := get(nil, 0)
		if err != nil || n == 0 {
			return nil, err
		}
		b := make([]byte, n)
		n, err = get(unsafe.Pointer(&b[0]), len(b))
		if err == nil {
			return b[:n], nil
		}
		if !errors.Is(err, syscall.ERANGE) || try == 10 {
			return nil, err
		}
	}
}

func write(f *os.File, attrs []Attr) (err error) {
	if len(attrs) == 0 {
		return nil
	}
	cerr := control(f, func(fd uintptr) {
		for _, a := range attrs {
			name, nerr := syscall.BytePtrFromString(a.Name)
			if nerr != nil {
				continue
			}
			var p unsafe.Pointer
			if len(a.Value) > 0 {
				p = unsafe.Pointer(&a.Value[0])
			}
			_, werr := call(syscall.SYS_FSETXATTR, fd, uintptr(unsafe.Pointer(name)), uintptr(p), uintptr(len(a.Value)), 0)
			if werr != nil && !unsupported(werr) && !errors.Is(werr, fs.ErrPermission) && err == nil {
				err = fmt.Errorf("set extended attribute %s: %w", a.Name, werr)
			}
		}
	})
	if cerr != nil {
		return cerr
	}
	return err
}

func unsupported(err error) bool {
	return errors.Is(err, syscall.ENOTSUP) || errors.Is(err, syscall.ENOSYS)
}

func call(number, a, b, c, d, e uintptr) (int, error) {
	n, _, errno := syscall.Syscall6(number, a, b, c, d, e, 0)
	if errno != 0 {
		return 0, errno
	}
	return int(n), nil
}

func control(f *os.File, do func(fd uintptr)) error {
	c, err := f.SyscallConn()
	if err != nil {
		return err
	}
	return c.Control(do)
}
