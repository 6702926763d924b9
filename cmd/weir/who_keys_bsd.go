//go:build darwin || freebsd || netbsd || openbsd || dragonfly

package main

import (
	"os"
	"time"

	"golang.org/x/sys/unix"
	"golang.org/x/term"
)

// keys reads single keys from the terminal.
type keys struct {
	tty        *os.File
	before     *term.State
	done, over chan struct{}
}

// readKeys calls press for each key that the user presses, in a goroutine that
// end waits for. See the version for Linux, which need not ask the terminal again
// and again: here the system cannot wait for /dev/tty together with other things.
func readKeys(press func(key string)) *keys {
	k := &keys{}
	tty, err := os.OpenFile("/dev/tty", os.O_RDWR|unix.O_NOCTTY, 0)
	if err != nil {
		return k
	}
	fd := int(tty.Fd())
	if k.before, err = term.GetState(fd); err != nil || !foreground(tty) {
		tty.Close()
		return k
	}
	if t, err := unix.IoctlGetTermios(fd, unix.TIOCGETA); err == nil {
		t.Lflag &^= unix.ICANON | unix.ECHO
		t.Cc[unix.VMIN], t.Cc[unix.VTIME] = 1, 0
		_ = unix.IoctlSetTermios(fd, unix.TIOCSETA, t) // else keys come at the end of a line
	}
	k.tty, k.done, k.over = tty, make(chan struct{}), make(chan struct{})
	go k.read(press)
	return k
}

func (k *keys) read(press func(key string)) {
	defer close(k.over)
	fd := int(k.tty.Fd())
	var buf [64]byte
	for {
		select {
		case <-k.done:
			return
		default:
		}
		var set unix.FdSet
		set.Set(fd)
		wait := unix.NsecToTimeval(int64(100 * time.Millisecond))
		n, err := unix.Select(fd+1, &set, nil, nil, &wait)
		if err == unix.EINTR || err == nil && n == 0 {
			continue
		}
		if err != nil {
			return
		}
		if n, err = unix.Read(fd, buf[:]); err != nil || n == 0 {
			return // the terminal is gone
		}
		for _, key := range keyNames(string(buf[:n])) {
			press(key)
		}
	}
}

// end gives the terminal back as it was.
func (k *keys) end() {
	if k.tty == nil {
		return
	}
	close(k.done)
	<-k.over
	if foreground(k.tty) { // else setting it would stop this process
		_ = term.Restore(int(k.tty.Fd()), k.before) // a closed terminal needs none
	}
	k.tty.Close()
}
