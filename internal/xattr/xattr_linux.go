package xattr

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strings"
	"syscall"
	"unsafe"

	"github.com/weir-go/weir/internal/fd"
)

func read(f *os.File) (attrs []Attr, err error) {
	err = fd.Control(f, func(fd uintptr) error {
		names, err := fetch(func(p unsafe.Pointer, n int) (int, error) {
			return call(syscall.SYS_FLISTXATTR, fd, uintptr(p), uintptr(n), 0, 0)
		})
		if err != nil && !unsupported(err) {
			return fmt.Errorf("read extended attributes: %w", err)
		}
		for name := range strings.SplitSeq(string(names), "\x00") {
			if !strings.HasPrefix(name, "user.") {
				continue
			}
			c, err := syscall.BytePtrFromString(name)
			if err != nil {
				continue
			}
			value, err := fetch(func(p unsafe.Pointer, n int) (int, error) {
				return call(syscall.SYS_FGETXATTR, fd, uintptr(unsafe.Pointer(c)), uintptr(p), uintptr(n), 0)
			})
			if err == nil { // otherwise it was removed after the listing
				attrs = append(attrs, Attr{name, value})
			}
		}
		return nil
	})
	return attrs, err
}

// fetch asks for the length, and then for the data, which can have grown since.
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

func write(f *os.File, attrs []Attr) error {
	if len(attrs) == 0 {
		return nil
	}
	return fd.Control(f, func(fd uintptr) (first error) {
		for _, a := range attrs {
			name, err := syscall.BytePtrFromString(a.Name)
			if err != nil {
				continue
			}
			var p unsafe.Pointer
			if len(a.Value) > 0 {
				p = unsafe.Pointer(&a.Value[0])
			}
			_, err = call(syscall.SYS_FSETXATTR, fd, uintptr(unsafe.Pointer(name)), uintptr(p), uintptr(len(a.Value)), 0)
			if err != nil && !unsupported(err) && !errors.Is(err, fs.ErrPermission) && first == nil {
				first = fmt.Errorf("set extended attribute %s: %w", a.Name, err)
			}
		}
		return first
	})
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
