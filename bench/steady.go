package main

import (
	"context"
	"fmt"
	"math"
	"runtime"

	"github.com/weir-go/weir"
)

const batchItems, batchBytes = 2048, 64 << 10

// allocsRow measures the allocations of a flow for each batch once it runs:
// those that a long run has more than a short one.
func allocsRow(e *env) row {
	items := e.size(4000, 1000) * batchItems
	size := int64(e.size(256<<20, 64<<20))
	path := func() string { return e.path(fmt.Sprintf("logs-%dM", size>>20)) }
	sum := 0
	byItems := func(flow func(n int) *weir.Flow) func(context.Context, *env) (sample, error) {
		return growth(items/4, items, batchItems, flow)
	}
	byBytes := func(stages func() []weir.Stage[byte, byte]) func(context.Context, *env) (sample, error) {
		return growth(int(size/4), int(size), batchBytes, func(n int) *weir.Flow {
			return weir.FileRange(path(), 0, int64(n)).Through(stages()...).To(weir.Discard[byte]())
		})
	}
	r := row{
		name: "allocations", title: "steady state: allocations for each batch (2,048 items, 64 KiB)",
		unit:    allocations,
		prepare: func(context.Context, *env) error { _, err := e.logs(size); return err },
		contenders: []contender{
			{name: "items, fused", run: byItems(func(n int) *weir.Flow { return itemsFlow(n, &sum, fused) })},
			{name: "items, asynchronous boundary", run: byItems(func(n int) *weir.Flow { return itemsFlow(n, &sum, boundary) })},
			{name: "items, ordered map with 4 workers", run: byItems(func(n int) *weir.Flow {
				return weir.Map(ints(n), theChain().try, weir.Workers(mapWorkers)).To(weir.Discard[int]())
			})},
			{name: "bytes, file → stage → discard", run: byBytes(func() []weir.Stage[byte, byte] { return []weir.Stage[byte, byte]{passOn()} })},
		},
		notes: []string{"The allocations of a long run, less those of a run a quarter as long, for each batch between them."},
	}
	for _, c := range r.contenders {
		r.targets = append(r.targets, below(c.name, 0.01, "allocations a batch"))
	}
	return r
}

// passOn returns a stage that passes its input on.
func passOn() weir.Stage[byte, byte] {
	return weir.Do("pass on", func(_ context.Context, in []byte, emit func([]byte) error) error { return emit(in) }, nil)
}

// growth compares flow(long) with flow(short), and returns the allocations of
// each additional batch.
func growth(short, long, batch int, flow func(n int) *weir.Flow) func(context.Context, *env) (sample, error) {
	return func(ctx context.Context, _ *env) (sample, error) {
		a, err := mallocs(ctx, flow(short))
		if err != nil {
			return sample{}, err
		}
		b, err := mallocs(ctx, flow(long))
		if err != nil {
			return sample{}, err
		}
		per := (float64(b) - float64(a)) / (float64(long-short) / float64(batch))
		return sample{value: max(0, per), allocs: math.NaN()}, nil
	}
}

func mallocs(ctx context.Context, f *weir.Flow) (uint64, error) {
	runtime.GC()
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	err := f.Run(ctx)
	runtime.ReadMemStats(&after)
	return after.Mallocs - before.Mallocs, err
}
