//go:build !unix

package weir

import (
	"errors"
	"os/exec"
	"syscall"
)

func ownGroup(*exec.Cmd) {}

func killGroup(cmd *exec.Cmd) {
	if cmd.Process != nil {
		cmd.Process.Kill()
	}
}

// isEPIPE reports whether the reader of a pipe has gone: 109 and 232 are
// ERROR_BROKEN_PIPE and ERROR_NO_DATA on Windows.
func isEPIPE(err error) bool {
	return errors.Is(err, syscall.Errno(109)) || errors.Is(err, syscall.Errno(232))
}
