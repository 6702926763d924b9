//go:build !linux

package weirhttp

import (
	"context"
	"errors"
)

const canSplice = false

func (k *kernelCopy) splice(context.Context) error { return errors.ErrUnsupported }
