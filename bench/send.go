package main

import (
	"context"

	"github.com/weir-go/weir"
)

// sendRow measures adding one value at a time to a buffer from which another
// goroutine takes the available values.
func sendRow(e *env) row {
	n := e.size(10_000_000, 2_000_000)
	return row{
		name: "send", title: "one item at a time into a buffer, the other side taking batches, for each item",
		unit: nanoseconds, base: "weir Pipe[int], default limit",
		contenders: []contender{
			{name: "weir Pipe[int], default limit", n: n, loop: sendPipe(weir.Limit{})},
			{name: "weir Pipe[int], 1,024 items", n: n, loop: sendPipe(weir.Items(1024))},
			{name: "channel (1,024)", n: n / 2, loop: sendChan(1024)},
			{name: "channel (4,096)", n: n / 2, loop: sendChan(4096)},
		},
		targets: []target{
			below("weir Pipe[int], default limit", 15, "ns an item"),
			faster("weir Pipe[int], default limit", 6, "channel (1,024)"),
		},
		notes: []string{"The default limit is 4,096 items and 256 KiB."},
	}
}

func sendPipe(limit weir.Limit) func(n int) (uint64, error) {
	return func(n int) (uint64, error) {
		ctx := context.Background()
		r, w := weir.NewPipe[int](limit)
		go func() {
			defer w.Close()
			for i := range n {
				if w.Send(ctx, i) != nil {
					return
				}
			}
		}()
		sum := 0
		for {
			view, err := r.Acquire(ctx)
			if err != nil {
				return uint64(sum), ignoreEOF(err)
			}
			for _, x := range view {
				sum += x
			}
			if err := r.Release(len(view)); err != nil {
				return 0, err
			}
		}
	}
}

func sendChan(size int) func(n int) (uint64, error) {
	return func(n int) (uint64, error) {
		c := make(chan int, size)
		go func() {
			defer close(c)
			for i := range n {
				c <- i
			}
		}()
		sum := 0
		for x := range c {
			sum += x
		}
		return uint64(sum), nil
	}
}
