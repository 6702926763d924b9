package main

import (
	"os"
	"syscall"
)

var (
	// askSignals make a run say where it is.
	askSignals = []os.Signal{syscall.SIGUSR1}

	pipeSignals     = []os.Signal{syscall.SIGPIPE}
	continueSignals = []os.Signal{syscall.SIGCONT}
)
