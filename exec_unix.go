//go:build unix

package weir

import (
	"errors"
	"os/exec"
	"syscall"
)

// ownGroup starts the command in a new process group, so that the processes it
// starts can be killed with it.
func ownGroup(cmd *exec.Cmd) {
	if cmd.SysProcAttr == nil {
		cmd.SysProcAttr = &syscall.SysProcAttr{}
	}
	cmd.SysProcAttr.Setpgid = true
	cmd.SysProcAttr.Pgid = 0
}

func killGroup(cmd *exec.Cmd) {
	if cmd.Process != nil {
		syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL)
	}
}

func isEPIPE(err error) bool { return errors.Is(err, syscall.EPIPE) }
