package weir

import (
	"context"
	"fmt"
	"sync/atomic"

	"github.com/weir-go/weir/internal/pipe"
)

// Budget is an amount of memory, in bytes, that several flows share.
//
// Before a flow opens anything, it takes the memory that it needs to run: the
// memory of its stages, and a reserve for each of its pipes. It waits for that,
// and flows get it in the order in which they asked. Beyond its reserve, a pipe
// takes memory as it fills and gives it back as it empties. A pipe that gets no
// more memory behaves as if it were full. While a flow waits to start, no pipe
// gets any more memory.
//
// A pipe that is empty can always take one value, however large, even if the
// budget is used up. So a flow that has started never waits for another flow's
// memory, and flows exceed the budget by at most one value for each pipe. Used and
// Peak count these values. They do not count a value that a stage or worker has
// just made: see Holders in [report.Ceiling].
//
// A budget cannot know that two separate flows depend on each other, for instance
// when one writes to a pipe that the other reads. If there is room for only one of
// them, it waits for the other, which waits for memory. Run such flows together
// with [Join], which takes the memory of all of them before it starts any.
//
// A Budget can be used concurrently. Make one with [NewBudget].
type Budget struct {
	serial int64 // the order in which budgets were made
	b      pipe.Budget
}

// NewBudget makes a budget of n bytes.
func NewBudget(n int64) *Budget {
	b := &Budget{serial: budgets.Add(1)}
	b.b.Init(n)
	return b
}

var budgets atomic.Int64 // how many have been made

// Total returns the size of the budget in bytes.
func (b *Budget) Total() int64 { return b.b.Total() }

// Used returns how much is taken now, in bytes.
func (b *Budget) Used() int64 { return b.b.Used() }

// Peak returns the most that was ever taken, in bytes.
func (b *Budget) Peak() int64 { return b.b.Peak() }

// Acquire waits until n bytes are free and takes them. Requests are served in
// order. It returns an error that matches [ErrBudget] if the budget is smaller
// than n, an error if n is negative, and the cause of ctx when ctx ends first.
// Give the bytes back with Release.
func (b *Budget) Acquire(ctx context.Context, n int64) error {
	return b.acquire(ctx, "", n)
}

// acquire is Acquire for a caller that the error is to name.
func (b *Budget) acquire(ctx context.Context, who string, n int64) error {
	if n < 0 {
		return fmt.Errorf("weir: acquire: negative amount %s", FormatBytes(n))
	}
	if total := b.b.Total(); n > total {
		return &budgetError{who, n, total}
	}
	return b.b.Acquire(ctx, n)
}

// Release gives n bytes back. It panics if n is negative or more than is taken.
func (b *Budget) Release(n int64) { b.b.Release(n) }

// budgetError is the error for a budget that is smaller than a request.
type budgetError struct {
	who         string // "flow", "flow a"; empty for a caller of Acquire
	need, total int64
}

func (e *budgetError) Error() string {
	if e.who == "" {
		return fmt.Sprintf("weir: %s needed but the budget is only %s", FormatBytes(e.need), FormatBytes(e.total))
	}
	return fmt.Sprintf("weir: %s needs %s but its budget is only %s", e.who, FormatBytes(e.need), FormatBytes(e.total))
}

func (e *budgetError) Unwrap() error { return ErrBudget }
