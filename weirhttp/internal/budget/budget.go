// Package budget takes the memory of transfers from a [weir.Budget], with a limited
// wait. A nil budget has any amount of memory.
package budget

import (
	"cmp"
	"context"
	"errors"
	"time"

	"github.com/weir-go/weir"
)

// ErrBusy is the cause when a transfer got no memory in time.
var ErrBusy = errors.New("no memory for another transfer")

// defaultQueue is how long a transfer waits for memory if nothing else is set.
const defaultQueue = 5 * time.Second

// Acquire takes n bytes from b. It waits as long as queue says: 5 s if queue is 0,
// and not at all if it is negative. It returns ErrBusy if the memory does not become
// free in that time. Release returns the memory.
func Acquire(ctx context.Context, b *weir.Budget, queue time.Duration, n int64) error {
	if b == nil {
		return nil
	}
	ctx, cancel := context.WithTimeoutCause(ctx, cmp.Or(queue, defaultQueue), ErrBusy)
	defer cancel()
	return b.Acquire(ctx, n)
}

// TryAcquire takes n bytes if they are free now, and reports whether it did.
func TryAcquire(b *weir.Budget, n int64) bool { return b == nil || b.Acquire(canceled, n) == nil }

// Release returns n bytes to b.
func Release(b *weir.Budget, n int64) {
	if b != nil {
		b.Release(n)
	}
}

// canceled makes Acquire return at once. A budget still gives memory that is free.
var canceled = func() context.Context {
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	return ctx
}()

// RetryAfter is how long a client should wait before it tries again after ErrBusy:
// the time it has waited already, in whole seconds, but at least one.
func RetryAfter(queue time.Duration) time.Duration {
	return max(cmp.Or(queue, defaultQueue).Truncate(time.Second), time.Second)
}
