//go:build !unix

package atomicfile

import (
	"errors"
	"os"
)

func heldDescriptor(string) (int, bool) { return -1, false }

func duplicate(int, string) (*os.File, error) { return nil, errors.ErrUnsupported }
