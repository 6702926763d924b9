package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/weir-go/weir/internal/errno"
	"github.com/weir-go/weir/internal/lock"
)

// socketOf returns the path of a unix socket that --listen names.
func socketOf(listen string) (path string, ok bool) { return strings.CutPrefix(listen, "unix:") }

// parseMode reads the permissions of a file in octal, such as 0660.
func parseMode(text string) (fs.FileMode, error) {
	n, err := strconv.ParseUint(text, 8, 32)
	if err != nil || n == 0 || n > 0o777 {
		return 0, fmt.Errorf("invalid permissions %q", text)
	}
	return fs.FileMode(n), nil
}

// openListener opens the listener of --listen.
func (s *serving) openListener() (net.Listener, error) {
	path, ok := socketOf(s.listen)
	if !ok {
		return net.Listen("tcp", s.listen)
	}
	mode, err := parseMode(s.socketMode)
	if err != nil {
		return nil, err // together has checked it
	}
	return listenUnix(path, mode)
}

// socket is a listener on a unix socket. Its lock, which lives as long as the listener,
// distinguishes a socket in use from one that a killed server has left.
type socket struct {
	net.Listener
	lock *os.File
}

func listenUnix(path string, mode fs.FileMode) (net.Listener, error) {
	lockFile, err := lock.Open(context.Background(), path+".lock")
	if errors.Is(err, lock.ErrHeld) {
		return nil, syscall.EADDRINUSE
	}
	if err != nil {
		return nil, err
	}
	l := &socket{lock: lockFile}
	if err := sweepSocket(path); err != nil {
		l.unlock()
		return nil, err
	}
	// A socket that got its mode only after it was created could be opened before.
	withUmask(^mode&0o777, func() { l.Listener, err = net.Listen("unix", path) })
	if err != nil {
		l.unlock()
		return nil, err
	}
	return l, nil
}

// sweepSocket removes the socket at path if nobody listens on it. It removes nothing but
// sockets.
func sweepSocket(path string) error {
	info, err := os.Lstat(path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil
	case err != nil:
		return err
	case info.Mode()&fs.ModeSocket == 0:
		return errNotSocket
	}
	c, err := net.DialTimeout("unix", path, time.Second)
	switch {
	case err == nil:
		c.Close()
		return syscall.EADDRINUSE
	case !errno.Is(err, syscall.ECONNREFUSED):
		return err
	}
	return os.Remove(path)
}

var errNotSocket = errors.New("a file that is not a socket has this name")

// Close removes the socket and then its lock.
func (l *socket) Close() error {
	err := l.Listener.Close()
	l.unlock()
	return err
}

func (l *socket) unlock() {
	_ = os.Remove(l.lock.Name()) // a lock file that stays is used again
	l.lock.Close()
}

func (s *serving) cannotListen(err error) error {
	f := &failure{code: exitDestination, text: fmt.Sprintf("cannot listen on %s: %v", s.listen, plainNetError(err))}
	path, isSocket := socketOf(s.listen)
	var address *net.AddrError
	var host *net.DNSError
	switch {
	case isSocket && errno.Is(err, syscall.EADDRINUSE):
		f.try = "another path; a server listens on this one"
	case isSocket && errors.Is(err, errNotSocket):
		f.try = "another path, or remove the file"
	case isSocket && errors.Is(err, fs.ErrNotExist):
		f.try = "ls " + quoted(nearest(path))
	case isSocket:
		f.try = "another path"
	case errno.Is(err, syscall.EADDRINUSE):
		f.try = "--listen 127.0.0.1:0, for a free port"
	case errors.As(err, &host):
		f.try = "an address of this machine, or --listen :8080, for all of them"
	case errors.As(err, &address):
		f.try, f.code = "--listen 127.0.0.1:8080", exitUsage
		if _, err := strconv.ParseUint(s.listen, 10, 16); err == nil {
			f.try = "--listen 127.0.0.1:" + s.listen
		}
	case errno.Is(err, syscall.EADDRNOTAVAIL):
		f.try = "--listen :8080, for every address of this machine"
	case errno.Is(err, syscall.EACCES):
		f.try = "--listen 127.0.0.1:8080; ports below 1024 are for root"
	}
	return f
}

func plainNetError(err error) error {
	var oe *net.OpError
	if errors.As(err, &oe) {
		err = oe.Err
	}
	var se *os.SyscallError
	if errors.As(err, &se) {
		return se.Err
	}
	var pe *fs.PathError
	if errors.As(err, &pe) {
		return pe.Err
	}
	return err
}
