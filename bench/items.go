package main

import (
	"context"
	"iter"

	"github.com/samber/ro"
	"github.com/weir-go/weir"
)

// itemsRow measures the cost of a value that passes through a chain: a source
// of ints, a map, a filter and a sum.
func itemsRow(e *env) row {
	n := e.size(10_000_000, 2_000_000)
	slow := e.size(2_000_000, 300_000)
	return row{
		name: "items", title: "ints → map(x+1) → keep even → sum, for each item",
		unit: nanoseconds, base: "weir, fused",
		contenders: []contender{
			{name: "bare loop", n: n, loop: sumBare},
			{name: "loop through function values", n: n, loop: sumFuncs},
			{name: "iter.Seq chain", n: n, loop: sumSeq},
			{name: "weir, fused", n: n, loop: sumWeir(fused)},
			{name: "weir, one asynchronous boundary", n: n, loop: sumWeir(boundary)},
			{name: "channels of batches of 1,024, recycled", n: n, loop: sumBatches},
			{name: "samber/ro", n: slow, loop: sumRo},
			{name: "two buffered channels (1,024)", n: slow, loop: sumChannels},
		},
		targets: []target{
			atMost("weir, fused", 2, "loop through function values"),
			below("weir, fused", 5, "ns an item"),
			noAllocation("weir, fused"),
			faster("weir, fused", 15, "two buffered channels (1,024)"),
			below("weir, one asynchronous boundary", 6, "ns an item"),
			faster("weir, one asynchronous boundary", 12, "two buffered channels (1,024)"),
		},
		notes: []string{"The map and the filter are function values everywhere but in the bare loop and in samber/ro; the source and the sum are plain loops."},
	}
}

// chain has the work as functions that the compiler cannot inline. Each
// contender writes the source and the sum as its own loops.
type chain struct {
	add  func(int) int
	try  func(int) (int, error) // add, as a function that might fail
	even func(int) bool
}

//go:noinline
func theChain() chain {
	return chain{
		add:  func(x int) int { return x + 1 },
		try:  func(x int) (int, error) { return x + 1, nil },
		even: func(x int) bool { return x&1 == 0 },
	}
}

func sumBare(n int) (uint64, error) {
	sum := 0
	for i := range n {
		if x := i + 1; x&1 == 0 {
			sum += x
		}
	}
	return uint64(sum), nil
}

func sumFuncs(n int) (uint64, error) {
	c := theChain()
	sum := 0
	for i := range n {
		if x := c.add(i); c.even(x) {
			sum += x
		}
	}
	return uint64(sum), nil
}

func sumSeq(n int) (uint64, error) {
	c := theChain()
	sum := 0
	for x := range seqFilter(seqMap(seqInts(n), c.add), c.even) {
		sum += x
	}
	return uint64(sum), nil
}

func seqInts(n int) iter.Seq[int] {
	return func(yield func(int) bool) {
		for i := range n {
			if !yield(i) {
				return
			}
		}
	}
}

func seqMap(seq iter.Seq[int], f func(int) int) iter.Seq[int] {
	return func(yield func(int) bool) {
		for x := range seq {
			if !yield(f(x)) {
				return
			}
		}
	}
}

func seqFilter(seq iter.Seq[int], keep func(int) bool) iter.Seq[int] {
	return func(yield func(int) bool) {
		for x := range seq {
			if keep(x) && !yield(x) {
				return
			}
		}
	}
}

func sumRo(n int) (uint64, error) {
	sums, err := ro.Collect(ro.Pipe3(
		ro.Range(0, int64(n)),
		ro.Map(func(x int64) int64 { return x + 1 }),
		ro.Filter(func(x int64) bool { return x&1 == 0 }),
		ro.Sum[int64](),
	))
	if err != nil || len(sums) == 0 {
		return 0, err
	}
	return uint64(sums[0]), nil
}

func sumChannels(n int) (uint64, error) {
	c := theChain()
	ints, kept := make(chan int, 1024), make(chan int, 1024)
	go func() {
		for i := range n {
			ints <- i
		}
		close(ints)
	}()
	go func() {
		for x := range ints {
			if x = c.add(x); c.even(x) {
				kept <- x
			}
		}
		close(kept)
	}()
	sum := 0
	for x := range kept {
		sum += x
	}
	return uint64(sum), nil
}

// sumBatches has one asynchronous boundary, like the flow it is compared with.
func sumBatches(n int) (uint64, error) {
	const size, depth = 1024, 8
	c := theChain()
	full, empty := make(chan []int, depth), make(chan []int, depth+2)
	for range cap(empty) {
		empty <- make([]int, 0, size)
	}
	go func() {
		for i := 0; i < n; {
			batch := (<-empty)[:0]
			for ; i < n && len(batch) < size; i++ {
				batch = append(batch, c.add(i))
			}
			full <- batch
		}
		close(full)
	}()
	sum := 0
	for batch := range full {
		for _, x := range batch {
			if c.even(x) {
				sum += x
			}
		}
		empty <- batch
	}
	return uint64(sum), nil
}

// ints begins a stream of the numbers from 0 to n-1.
func ints(n int) weir.Stream[int] {
	return weir.Generate("ints", func(_ context.Context, emit func([]int) error) error {
		batch := make([]int, 2048)
		for i := 0; i < n; {
			k := min(len(batch), n-i)
			for j := range k {
				batch[j] = i + j
			}
			if err := emit(batch[:k]); err != nil {
				return err
			}
			i += k
		}
		return nil
	})
}

func fused(s weir.Stream[int]) weir.Stream[int]    { return s }
func boundary(s weir.Stream[int]) weir.Stream[int] { return s.Async(weir.Limit{}) }

func sumWeir(between func(weir.Stream[int]) weir.Stream[int]) func(n int) (uint64, error) {
	return func(n int) (uint64, error) {
		sum := 0
		err := itemsFlow(n, &sum, between).Run(context.Background())
		return uint64(sum), err
	}
}

// itemsFlow is the chain as a flow; between is the part behind its map.
func itemsFlow(n int, sum *int, between func(weir.Stream[int]) weir.Stream[int]) *weir.Flow {
	c := theChain()
	added := weir.Map(ints(n), c.try)
	return weir.Filter(between(added), c.even).To(weir.EachBatch(func(_ context.Context, batch []int) error {
		for _, x := range batch {
			*sum += x
		}
		return nil
	}))
}
