//go:build !linux

package weirhttp

import (
	"errors"
	"sync"
)

// lot is not usable on this platform: nothing is parked.
type lot struct{}

func (*lot) open(*sync.WaitGroup) {}
func (*lot) close()               {}
func (*lot) usable() bool         { return false }
func (*lot) wait(sleeper) error   { return errors.ErrUnsupported }
func (*lot) leave(*conn)          {}
