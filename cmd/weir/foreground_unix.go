//go:build unix

package main

import (
	"os"

	"golang.org/x/sys/unix"
)

// foreground reports whether weir may draw on the terminal. A job in the
// background would overwrite the output of the job in the foreground.
func foreground(tty *os.File) bool {
	group, err := unix.IoctlGetInt(int(tty.Fd()), unix.TIOCGPGRP)
	return err != nil || group == unix.Getpgrp()
}

// terminalJob tracks whether this process runs in the foreground of the terminal
// that controls it. The zero value has no terminal.
type terminalJob struct {
	tty   *os.File
	front bool // at the last look that succeeded
}

func newTerminalJob() *terminalJob {
	tty, err := os.OpenFile("/dev/tty", os.O_RDONLY|unix.O_NOCTTY, 0)
	if err != nil {
		return &terminalJob{}
	}
	j := &terminalJob{tty: tty}
	j.inFront()
	return j
}

// inFront reports whether the process is in the foreground. After the terminal
// is closed the system does not know, and inFront repeats its last answer. So
// call it also when the process was continued, because that is when a job
// moves.
func (j *terminalJob) inFront() bool {
	if j.tty == nil {
		return false
	}
	if group, err := unix.IoctlGetInt(int(j.tty.Fd()), unix.TIOCGPGRP); err == nil {
		j.front = group == unix.Getpgrp()
	}
	return j.front
}

func (j *terminalJob) close() {
	if j.tty != nil {
		j.tty.Close()
	}
}
