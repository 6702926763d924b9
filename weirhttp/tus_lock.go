package weirhttp

import (
	"context"
	"net/http"

	"github.com/tus/tusd/v2/pkg/handler"
)

// errInterrupted is the cause when another request wants the upload. What has
// come is kept, so the status is one that clients come again after: tusd itself
// would answer 400.
var errInterrupted = handler.NewError("ERR_UPLOAD_INTERRUPTED", "another request goes on with the upload", http.StatusLocked)

// tusLocker tells the request that holds a lock when another one wants it.
type tusLocker struct{ handler.Locker }

// NewLock is for tusd.
func (l tusLocker) NewLock(id string) (handler.Lock, error) {
	lock, err := l.Locker.NewLock(id)
	return tusLock{lock}, err
}

type tusLock struct{ lock handler.Lock }

// Lock tells the request before tusd ends its reading, so that it knows why.
func (l tusLock) Lock(ctx context.Context, release func()) error {
	req, err := tusRequestOf(ctx)
	if err != nil {
		return err
	}
	return l.lock.Lock(ctx, func() {
		req.interrupt(errInterrupted)
		release()
	})
}

// Unlock is for tusd.
func (l tusLock) Unlock() error { return l.lock.Unlock() }
