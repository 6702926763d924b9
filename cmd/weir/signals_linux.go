package main

import (
	"os"
	"syscall"
)

// askSignals make a run say where it is.
var askSignals = []os.Signal{syscall.SIGUSR1}
