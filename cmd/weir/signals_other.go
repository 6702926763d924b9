//go:build !(linux || darwin || dragonfly || freebsd || netbsd || openbsd)

package main

import "os"

// askSignals is empty: nobody can ask here.
var askSignals []os.Signal
