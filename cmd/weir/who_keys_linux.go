package main

import (
	"os"
	"os/signal"
	"time"

	"golang.org/x/sys/unix"
)

// keys reads single keys from the terminal.
type keys struct {
	tty    *os.File
	before *unix.Termios
	resume chan os.Signal
	done   chan struct{}
	over   chan struct{}
}

// readKeys calls press for each key that the user presses, in a goroutine that
// end waits for. Keys that send several bytes have a name: "up", "down", "left",
// "right", "enter", "esc", "backspace". Without a terminal, or in the background, it
// reads nothing; signals end the program in any case.
func readKeys(press func(key string)) *keys {
	k := &keys{}
	tty, err := os.OpenFile("/dev/tty", os.O_RDWR|unix.O_NOCTTY|unix.O_NONBLOCK, 0)
	if err != nil {
		return k
	}
	if k.before = termios(tty, nil); k.before == nil || !ours(tty) {
		tty.Close()
		return k
	}
	k.tty, k.resume, k.done, k.over = tty, make(chan os.Signal, 1), make(chan struct{}), make(chan struct{})
	single := *k.before
	single.Lflag &^= unix.ICANON | unix.ECHO
	single.Cc[unix.VMIN], single.Cc[unix.VTIME] = 1, 0
	termios(tty, &single)
	signal.Notify(k.resume, unix.SIGCONT) // the shell has changed the terminal by then
	go func() {
		defer close(k.over)
		for {
			select {
			case <-k.done:
				return
			case <-k.resume:
				if ours(tty) {
					termios(tty, &single)
				}
			}
		}
	}()
	go k.read(press)
	return k
}

func (k *keys) read(press func(key string)) {
	defer close(k.done)
	var buf [64]byte
	for {
		n, err := k.tty.Read(buf[:])
		if err != nil {
			return // end has closed it, or the terminal is gone
		}
		for _, key := range keyNames(string(buf[:n])) {
			press(key)
		}
	}
}

// end gives the terminal back as it was. It stops to read before that, since the
// keys that follow are for the shell.
func (k *keys) end() {
	if k.tty == nil {
		return
	}
	signal.Stop(k.resume)
	if k.tty.SetReadDeadline(time.Unix(1, 0)) == nil {
		<-k.done
	}
	if ours(k.tty) { // else setting it would stop this process
		termios(k.tty, k.before)
	}
	k.tty.Close()
	<-k.done
	<-k.over
}

// termios sets the terminal if to is not nil. It returns how it was, or nil.
func termios(tty *os.File, to *unix.Termios) (was *unix.Termios) {
	control(tty, func(fd int) {
		t, err := unix.IoctlGetTermios(fd, unix.TCGETS)
		if err != nil {
			return
		}
		was = t
		if to != nil && unix.IoctlSetTermios(fd, unix.TCSETS, to) != nil {
			was = nil
		}
	})
	return was
}

// ours reports whether this process runs in the foreground of the terminal.
func ours(tty *os.File) (yes bool) {
	control(tty, func(fd int) {
		group, err := unix.IoctlGetInt(fd, unix.TIOCGPGRP)
		yes = err == nil && group == unix.Getpgrp()
	})
	return yes
}

// control calls f with the descriptor. Fd would make it blocking, and end could
// not interrupt a read any more.
func control(tty *os.File, f func(fd int)) {
	if raw, err := tty.SyscallConn(); err == nil {
		_ = raw.Control(func(fd uintptr) { f(int(fd)) }) // if the terminal is closed, f reports it
	}
}
