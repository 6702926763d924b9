package main

import (
	"context"

	"github.com/weir-go/weir"
)

// turnsRow measures how long a value takes from one goroutine to another when
// the two take turns and nothing else is under way.
func turnsRow(e *env) row {
	n := e.size(1_000_000, 200_000)
	return row{
		name: "turns", title: "two goroutines that take turns, for each hand-over",
		unit: nanoseconds, base: "weir Pipe[int], 1 item",
		contenders: []contender{
			{name: "weir Pipe[int], 1 item", n: n, loop: turnsPipe(weir.Items(1))},
			{name: "weir Pipe[int], default limit", n: n, loop: turnsPipe(weir.Limit{})},
			{name: "weir Pipe[int], rendezvous", n: n, loop: turnsPipe(weir.Items(0))},
			{name: "unbuffered channel", n: n, loop: turnsChan(0)},
			{name: "channel (1)", n: n, loop: turnsChan(1)},
		},
		targets: []target{
			atMost("weir Pipe[int], 1 item", 1.25, "unbuffered channel"),
			atMost("weir Pipe[int], default limit", 1.25, "unbuffered channel"),
		},
	}
}

func turnsPipe(limit weir.Limit) func(n int) (uint64, error) {
	return func(n int) (uint64, error) {
		ctx := context.Background()
		pingR, pingW := weir.NewPipe[int](limit)
		pongR, pongW := weir.NewPipe[int](limit)
		go func() {
			defer pongW.Close()
			for {
				x, err := pingR.Recv(ctx)
				if err != nil || pongW.Send(ctx, x) != nil {
					return
				}
			}
		}()
		defer pingW.Close()
		sum := 0
		for i := range n / 2 {
			if err := pingW.Send(ctx, i); err != nil {
				return 0, err
			}
			x, err := pongR.Recv(ctx)
			if err != nil {
				return 0, err
			}
			sum += x
		}
		return uint64(sum), nil
	}
}

func turnsChan(size int) func(n int) (uint64, error) {
	return func(n int) (uint64, error) {
		ping, pong := make(chan int, size), make(chan int, size)
		go func() {
			for x := range ping {
				pong <- x
			}
		}()
		defer close(ping)
		sum := 0
		for i := range n / 2 {
			ping <- i
			sum += <-pong
		}
		return uint64(sum), nil
	}
}
