//go:build !linux

package tcp

import (
	"errors"
	"syscall"
)

// ProgressOf reports false: the platform does not tell.
func ProgressOf(syscall.RawConn) (Progress, bool) { return Progress{}, false }

// ArrivalsOf reports false: the platform does not tell.
func ArrivalsOf(syscall.RawConn) (Arrivals, bool) { return Arrivals{}, false }

// LimitUnsent is not supported on this platform.
func LimitUnsent(syscall.RawConn, int) error { return errors.ErrUnsupported }

// Unpace is not supported on this platform.
func Unpace(syscall.RawConn) error { return errors.ErrUnsupported }

// WaitReadable reports false: nothing is parked on this platform.
func WaitReadable(syscall.RawConn) bool { return false }
