//go:build darwin || dragonfly || freebsd || netbsd || openbsd

package main

import (
	"os"
	"syscall"
)

var (
	// askSignals make a run say where it is. INFO is what Ctrl-T sends.
	askSignals = []os.Signal{syscall.SIGUSR1, syscall.SIGINFO}

	pipeSignals     = []os.Signal{syscall.SIGPIPE}
	continueSignals = []os.Signal{syscall.SIGCONT}
)
