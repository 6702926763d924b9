//go:build !linux

package weirhttp

import (
	"errors"
	"sync"
)

// lot is not usable here, where nothing is parked.
type lot struct{}

func (*lot) open(*sync.WaitGroup) {}
func (*lot) close()               {}
func (*lot) usable() bool         { return false }
func (*lot) wait(*parked) error   { return errors.ErrUnsupported }
func (*lot) leave(*conn)          {}
