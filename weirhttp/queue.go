package weirhttp

import (
	"context"
	"errors"
	"time"

	"github.com/weir-go/weir"
)

// errBudgetBusy is the cause when a transfer got no memory in time.
var errBudgetBusy = errors.New("no memory for another transfer")

// queueFor is how long a transfer waits for memory where nothing else is said.
const queueFor = 5 * time.Second

// acquire takes n bytes from the budget, if there is one, as a field Queue says:
// it waits 5 s if that is 0, and not at all if it is negative. Who gets nothing
// in time gets errBudgetBusy.
func acquire(ctx context.Context, b *weir.Budget, queue time.Duration, n int64) error {
	if b == nil {
		return nil
	}
	ctx, cancel := context.WithTimeoutCause(ctx, orDefault(queue, queueFor), errBudgetBusy)
	defer cancel()
	return b.Acquire(ctx, n)
}

// acquireNow takes n bytes if there is a budget that has them now.
func acquireNow(b *weir.Budget, n int64) bool { return b == nil || b.Acquire(canceled, n) == nil }

// giveBack is the end of acquire.
func giveBack(b *weir.Budget, n int64) {
	if b != nil {
		b.Release(n)
	}
}

// canceled is for who does not wait: a budget gives what it has all the same.
var canceled = func() context.Context {
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	return ctx
}()

// retryAfter is when a client may come again that got no memory: in whole seconds.
func retryAfter(queue time.Duration) time.Duration {
	return max(orDefault(queue, queueFor).Truncate(time.Second), time.Second)
}
