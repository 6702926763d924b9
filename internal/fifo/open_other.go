//go:build !unix

package fifo

import (
	"errors"
	"os"
)

func waits(string, int) bool { return false }

func openBothWays(string) (*os.File, error) { return nil, errors.ErrUnsupported }
