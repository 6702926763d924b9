//go:build darwin || dragonfly || freebsd || netbsd || openbsd

package main

import (
	"os"
	"syscall"
)

// askSignals make a run say where it is. INFO is what Ctrl-T sends.
var askSignals = []os.Signal{syscall.SIGUSR1, syscall.SIGINFO}
