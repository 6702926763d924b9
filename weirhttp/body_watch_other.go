//go:build !linux

package weirhttp

import "syscall"

func arrived(syscall.RawConn) (arrivals, bool) { return arrivals{}, false }
