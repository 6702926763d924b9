//go:build unix

package main

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"syscall"
)

// socketFolders are the folders in which the sockets of this user can be, the
// preferred one first: a command that cron has started has no XDG_RUNTIME_DIR,
// and weir top in a terminal has.
func socketFolders() []string {
	switch v := os.Getenv(socketVariable); {
	case v == "off":
		return nil
	case filepath.IsAbs(v):
		return []string{v}
	}
	var list []string
	// After su or sudo the variable names the folder of another user.
	if dir := os.Getenv("XDG_RUNTIME_DIR"); filepath.IsAbs(dir) && ofThisUser(dir) == nil {
		list = append(list, filepath.Join(dir, "weir"))
	}
	return append(list, filepath.Join("/tmp", "weir-"+strconv.Itoa(os.Geteuid())))
}

// socketFolder returns the folder for a new socket. It makes the folder if it is
// not there. It returns an empty string if there is none that only this user can
// enter.
func socketFolder() string {
	for _, dir := range socketFolders() {
		if os.Mkdir(dir, 0o700) == nil {
			_ = os.Chmod(dir, 0o700) // an umask can have taken bits of the owner
		}
		if private(dir) == nil {
			return dir
		}
	}
	return ""
}

// private returns an error if others than this user can enter a folder, or if it
// is none: then a socket in it may be anybody's.
func private(dir string) error {
	if err := ofThisUser(dir); err != nil {
		return err
	}
	st, err := os.Lstat(dir)
	if err != nil {
		return err
	}
	if perm := st.Mode().Perm(); perm&0o077 != 0 {
		return fmt.Errorf("%s has the permissions %04o, not 0700", dir, perm)
	}
	return nil
}

// ofThisUser returns an error if dir is not a folder of this user.
func ofThisUser(dir string) error {
	st, err := os.Lstat(dir)
	if err != nil {
		return err
	}
	info, ok := st.Sys().(*syscall.Stat_t)
	switch {
	case !st.IsDir():
		return fmt.Errorf("%s is not a folder", dir)
	case !ok || int(info.Uid) != os.Geteuid():
		return fmt.Errorf("%s belongs to another user", dir)
	}
	return nil
}

// alive reports whether there is a process with this number.
func alive(pid int) bool {
	return !errors.Is(syscall.Kill(pid, 0), syscall.ESRCH)
}

// refused reports whether nobody listens on a socket.
func refused(err error) bool { return errors.Is(err, syscall.ECONNREFUSED) }
