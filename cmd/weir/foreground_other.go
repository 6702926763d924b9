//go:build !unix

package main

import "os"

func foreground(*os.File) bool { return true }

// terminalJob is of use only where there are hangups.
type terminalJob struct{}

func newTerminalJob() *terminalJob { return &terminalJob{} }

func (*terminalJob) inFront() bool { return true }

func (*terminalJob) close() {}
