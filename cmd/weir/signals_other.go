//go:build !(linux || darwin || dragonfly || freebsd || netbsd || openbsd)

package main

import "os"

// There are no such signals here.
var askSignals, pipeSignals, continueSignals []os.Signal
