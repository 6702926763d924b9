//go:build unix

package atomicfile

import (
	"errors"
	"io/fs"
	"os"
	"syscall"
)

// special are the bits that let a file run with the rights of its owner or its
// group.
const special = fs.ModeSetuid | fs.ModeSetgid

var chown = (*os.File).Chown // a test plays a system that refuses, or pretends

// Keep gives f the owner, the group and the permissions of the file or folder
// that like describes. If the process may not set the owner or the group, they
// stay as they are, without an error.
//
// Keep keeps the set-user-ID and set-group-ID bits of a file only together with
// both owner and group: with another owner they would grant the rights of that
// owner. It also drops them if f belonged to another user before, or if other
// users can write to it, because these could have written its contents. It sets
// the bits last, so that f never has them with a wrong owner. On a folder,
// set-group-ID only affects the group, and is kept together with it.
func Keep(f *os.File, like fs.FileInfo) error {
	info, err := f.Stat()
	if err != nil {
		return err
	}
	mode := like.Mode().Perm() | like.Mode()&(special|fs.ModeSticky)
	want, ok := like.Sys().(*syscall.Stat_t)
	if !ok || !info.IsDir() && !private(info) {
		mode = without(mode, info, false)
	}
	if info.Mode()&special != 0 {
		if err := f.Chmod(info.Mode() &^ special); err != nil {
			return err
		}
	}
	if ok {
		owner, group, err := own(f, want)
		if err != nil {
			return err
		}
		if !owner || !group {
			mode = without(mode, info, group)
		}
	}
	return f.Chmod(mode)
}

// private reports whether a file is ours and nobody else may write to it.
func private(info fs.FileInfo) bool {
	is, ok := info.Sys().(*syscall.Stat_t)
	return ok && int(is.Uid) == os.Geteuid() && info.Mode()&0o022 == 0
}

// without removes the special bits from mode. A folder with the right group
// keeps set-group-ID.
func without(mode fs.FileMode, info fs.FileInfo, group bool) fs.FileMode {
	if info.IsDir() && group {
		return mode &^ fs.ModeSetuid
	}
	return mode &^ special
}

// own gives f the owner and the group of want as far as the process may, and
// reports which of them f has now. What the system says is not enough: some
// file systems accept an owner and forget it.
func own(f *os.File, want *syscall.Stat_t) (owner, group bool, err error) {
	uid, gid := int(want.Uid), int(want.Gid)
	for _, try := range [...][2]int{{-1, -1}, {uid, gid}, {-1, gid}, {uid, -1}} {
		if try != [2]int{-1, -1} {
			if err := chown(f, try[0], try[1]); err != nil && !refused(err) {
				return false, false, err
			}
		}
		info, err := f.Stat()
		if err != nil {
			return false, false, err
		}
		is, ok := info.Sys().(*syscall.Stat_t)
		owner, group = ok && is.Uid == want.Uid, ok && is.Gid == want.Gid
		if owner && group {
			break
		}
	}
	return owner, group, nil
}

// refused reports whether an owner cannot be set because the process or the
// file system does not allow it, or does not know it.
func refused(err error) bool {
	return errors.Is(err, fs.ErrPermission) || errors.Is(err, syscall.EINVAL) || errors.Is(err, errors.ErrUnsupported)
}
