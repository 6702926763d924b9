package main

import (
	"context"
	"fmt"
	"runtime"
	"sync"
	"sync/atomic"
	"time"

	"github.com/sourcegraph/conc/stream"
	"github.com/weir-go/weir"
)

const mapWorkers = 4

// parallelRow measures an ordered map with four workers, against the same
// calls divided between the cores with no order to keep.
func parallelRow(e *env, name string, work time.Duration, n int, ratio float64) row {
	w := &spinner{d: work}
	loop := func(f func(w *spinner, n int) (uint64, error)) func(n int) (uint64, error) {
		return func(n int) (uint64, error) { return f(w, n) }
	}
	return row{
		name: name, title: fmt.Sprintf("ordered map, %d workers, %v of work for each item", mapWorkers, work),
		unit: nanoseconds, base: "weir.Map with workers",
		prepare: func(context.Context, *env) error { w.calibrate(); return nil },
		contenders: []contender{
			{name: "ideal", n: n, loop: loop(mapIdeal)},
			{name: "weir.Map with workers", n: n, loop: loop(mapWeir)},
			{name: "conc stream", n: n, loop: loop(mapConc)},
			{name: "plain channels", n: n, loop: loop(mapChannels)},
		},
		targets: []target{atMost("weir.Map with workers", ratio, "ideal")},
		notes: []string{fmt.Sprintf("Ideal: as many goroutines as there are cores (%d) take the same calls from a counter, and nothing puts results in order.",
			runtime.GOMAXPROCS(0))},
	}
}

// firstRow measures how soon a result is there when values come one at a time.
func firstRow(e *env) row {
	const work = 100 * time.Microsecond
	n := e.size(5000, 500)
	w := &spinner{d: work}
	loop := func(f func(w *spinner, n int) (uint64, error)) func(n int) (uint64, error) {
		return func(n int) (uint64, error) { return f(w, n) }
	}
	return row{
		name: "map-first", title: "ordered map, 4 workers, 100 µs of work: from a value's arrival to its result, when the next comes only then",
		unit: nanoseconds, base: "weir.Map with workers",
		prepare: func(context.Context, *env) error { w.calibrate(); return nil },
		contenders: []contender{
			{name: "the call alone", n: n, loop: loop(callAlone)},
			{name: "weir.Map with workers", n: n, loop: loop(firstWeir)},
			{name: "plain channels", n: n, loop: loop(firstChannels)},
		},
		targets: []target{atMost("weir.Map with workers", 1.1, "plain channels")},
		notes:   []string{"A map that waited for more values before it worked, or for more results before it delivered, would never finish this row."},
	}
}

// spinner does a fixed amount of work on a core, however often the goroutine is
// interrupted.
type spinner struct {
	d time.Duration
	n int
}

// calibrate finds how many steps take d: the best of several tries.
func (s *spinner) calibrate() {
	const steps = 1 << 20
	best := time.Duration(1 << 62)
	for range 20 {
		t := time.Now()
		spin(1, steps)
		best = min(best, time.Since(t))
	}
	s.n = max(1, int(float64(s.d)/float64(best)*steps))
}

//go:noinline
func spin(x uint64, steps int) uint64 {
	for range steps {
		x ^= x << 13
		x ^= x >> 7
		x ^= x << 17
	}
	return x
}

// call is the work for one value.
func (s *spinner) call(x int) uint64 { return spin(uint64(x)+1, s.n) }

// inOrder returns a checksum that depends on the order of the values.
func inOrder(sum, v uint64) uint64 { return sum*31 + v }

func mapIdeal(w *spinner, n int) (uint64, error) {
	out := make([]uint64, n)
	block := max(1, int(64*time.Microsecond/w.d))
	var next atomic.Int64
	var wg sync.WaitGroup
	for range runtime.GOMAXPROCS(0) {
		wg.Go(func() {
			for {
				from := int(next.Add(int64(block))) - block
				if from >= n {
					return
				}
				for i := from; i < min(from+block, n); i++ {
					out[i] = w.call(i)
				}
			}
		})
	}
	wg.Wait()
	var sum uint64
	for _, v := range out {
		sum = inOrder(sum, v)
	}
	return sum, nil
}

func mapWeir(w *spinner, n int) (uint64, error) {
	var sum uint64
	err := weir.Map(ints(n), func(x int) (uint64, error) { return w.call(x), nil }, weir.Workers(mapWorkers)).
		To(weir.EachBatch(func(_ context.Context, batch []uint64) error {
			for _, v := range batch {
				sum = inOrder(sum, v)
			}
			return nil
		})).Run(context.Background())
	return sum, err
}

func mapConc(w *spinner, n int) (uint64, error) {
	var sum uint64
	s := stream.New().WithMaxGoroutines(mapWorkers)
	for i := range n {
		s.Go(func() stream.Callback {
			v := w.call(i)
			return func() { sum = inOrder(sum, v) }
		})
	}
	s.Wait()
	return sum, nil
}

// mapChannels is the usual way: a channel for each result, in a channel that
// keeps their order.
func mapChannels(w *spinner, n int) (uint64, error) {
	jobs, order := startChannels(w)
	go func() {
		for i := range n {
			j := channelJob{i, make(chan uint64, 1)}
			order <- j.out
			jobs <- j
		}
		close(jobs)
		close(order)
	}()
	var sum uint64
	for out := range order {
		sum = inOrder(sum, <-out)
	}
	return sum, nil
}

type channelJob struct {
	x   int
	out chan uint64
}

func startChannels(w *spinner) (jobs chan channelJob, order chan chan uint64) {
	jobs, order = make(chan channelJob, 64), make(chan chan uint64, 64)
	for range mapWorkers {
		go func() {
			for j := range jobs {
				j.out <- w.call(j.x)
			}
		}()
	}
	return jobs, order
}

func callAlone(w *spinner, n int) (uint64, error) {
	var sum uint64
	for i := range n {
		sum = inOrder(sum, w.call(i))
	}
	return sum, nil
}

func firstWeir(w *spinner, n int) (uint64, error) {
	arrived := make(chan struct{}, 1)
	source := weir.Generate("one by one", func(_ context.Context, emit func([]int) error) error {
		for i := range n {
			if err := emit([]int{i}); err != nil {
				return err
			}
			<-arrived
		}
		return nil
	})
	var sum uint64
	err := weir.Map(source, func(x int) (uint64, error) { return w.call(x), nil }, weir.Workers(mapWorkers)).
		To(weir.Each(func(_ context.Context, v uint64) error {
			sum = inOrder(sum, v)
			arrived <- struct{}{}
			return nil
		})).Run(context.Background())
	return sum, err
}

func firstChannels(w *spinner, n int) (uint64, error) {
	jobs, order := startChannels(w)
	results := make(chan uint64)
	go func() {
		for out := range order {
			results <- <-out
		}
	}()
	defer close(order)
	defer close(jobs)
	var sum uint64
	for i := range n {
		out := make(chan uint64, 1)
		order <- out
		jobs <- channelJob{i, out}
		sum = inOrder(sum, <-results)
	}
	return sum, nil
}
