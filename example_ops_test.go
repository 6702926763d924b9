package weir_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"time"

	"github.com/weir-go/weir"
	"github.com/weir-go/weir/pace"
)

func ExampleDedupe() {
	s := weir.Dedupe(weir.Values("on", "on", "off", "off", "on"))
	fmt.Println(weir.Collect(context.Background(), s, 10))
	// Output: [on off on] <nil>
}

func ExampleDedupeBy() {
	id := func(event string) string { return event[:1] }
	s := weir.DedupeBy(weir.Values("1 hi", "2 ho", "1 hi again"), id, 1000)
	fmt.Println(weir.Collect(context.Background(), s, 10))
	// Output: [1 hi 2 ho] <nil>
}

func ExampleBatch() {
	s := weir.Batch(weir.Values(1, 2, 3, 4, 5), weir.BatchOptions{Items: 2})
	fmt.Println(weir.Collect(context.Background(), s, 10))
	// Output: [[1 2] [3 4] [5]] <nil>
}

func ExampleMerge() {
	s := weir.Merge(weir.Values(1, 3, 5), weir.Values(2, 4))
	got, err := weir.Collect(context.Background(), s, 10)
	slices.Sort(got) // they come in any order
	fmt.Println(got, err)
	// Output: [1 2 3 4 5] <nil>
}

func ExampleConcat() {
	s := weir.Concat(weir.Values(1, 3, 5), weir.Values(2, 4))
	fmt.Println(weir.Collect(context.Background(), s, 10))
	// Output: [1 3 5 2 4] <nil>
}

func ExampleZip() {
	s := weir.Zip(weir.Values("a", "b", "c"), weir.Values("x", "y"))
	fmt.Println(weir.Collect(context.Background(), s, 10))
	// Output: [{a x} {b y}] <nil>
}

func ExamplePartition() {
	var even, odd []int
	parts := weir.Partition(weir.Values(1, 2, 3, 4, 5), 2, func(v int) int { return v })
	err := weir.Join(
		parts[0].To(weir.Each(func(_ context.Context, v int) error { even = append(even, v); return nil })),
		parts[1].To(weir.Each(func(_ context.Context, v int) error { odd = append(odd, v); return nil })),
	).Run(context.Background())
	fmt.Println(even, odd, err)
	// Output: [2 4] [1 3 5] <nil>
}

func ExampleTake() {
	count := func(yield func(int) bool) {
		for i := 0; yield(i); i++ {
		}
	}
	s := weir.Take(weir.FromSeq(count), 3) // ends the endless source
	fmt.Println(weir.Collect(context.Background(), s, 10))
	// Output: [0 1 2] <nil>
}

func ExampleTakeWhile() {
	s := weir.TakeWhile(weir.Values(1, 2, 30, 4), func(v int) bool { return v < 10 })
	fmt.Println(weir.Collect(context.Background(), s, 10))
	// Output: [1 2] <nil>
}

func ExampleDrop() {
	s := weir.Drop(weir.Values("name,total", "apples,3", "pears,4"), 1)
	fmt.Println(weir.Collect(context.Background(), s, 10))
	// Output: [apples,3 pears,4] <nil>
}

func ExampleDropWhile() {
	s := weir.DropWhile(weir.Values(0, 0, 7, 0), func(v int) bool { return v == 0 })
	fmt.Println(weir.Collect(context.Background(), s, 10))
	// Output: [7 0] <nil>
}

func ExampleScan() {
	s := weir.Scan(weir.Values(10, 20, 30), 0, func(sum, v int) int { return sum + v })
	fmt.Println(weir.Collect(context.Background(), s, 10))
	// Output: [10 30 60] <nil>
}

func ExampleFlatMap() {
	s := weir.FlatMap(weir.Values(1, 2, 3), func(_ context.Context, v int, emit func(...int) error) error {
		for range v {
			if err := emit(v); err != nil { // waits while downstream is full
				return err
			}
		}
		return nil
	})
	fmt.Println(weir.Collect(context.Background(), s, 10))
	// Output: [1 2 2 3 3 3] <nil>
}

func ExampleThrottle() {
	s := pace.Throttle(weir.Values(1, 2, 3), time.Hour) // the first in each hour
	fmt.Println(weir.Collect(context.Background(), s, 10))
	// Output: [1] <nil>
}

func ExampleTimeout() {
	never := weir.FromChan(make(chan int))
	_, err := weir.Collect(context.Background(), weir.Timeout(never, time.Millisecond), 10)
	fmt.Println(errors.Is(err, weir.ErrStalled))
	// Output: true
}

// flaky breaks off after three bytes.
type flaky struct {
	rest string
	read int
}

func (f *flaky) Read(p []byte) (int, error) {
	if f.rest == "" {
		return 0, io.EOF
	}
	if f.read == 3 {
		return 0, io.ErrUnexpectedEOF
	}
	n := copy(p, f.rest[:min(3, len(f.rest))])
	f.rest, f.read = f.rest[n:], f.read+n
	return n, nil
}

func ExampleRetry() {
	const page = "a long page"
	s := weir.Retry(func(_ context.Context, offset int64) (weir.Reader[byte], error) {
		fmt.Println("open at", offset)
		return &flaky{rest: page[offset:]}, nil
	}, weir.RetryOptions{Backoff: func(int) time.Duration { return 0 }})
	got, err := weir.Collect(context.Background(), s, 100)
	fmt.Printf("%s %v\n", got, err)
	// Output:
	// open at 0
	// open at 3
	// open at 6
	// open at 9
	// a long page <nil>
}

func ExampleGate() {
	var gate pace.Gate
	var seen []int
	gate.Pause() // nothing passes
	flow := pace.Gated(weir.Values(1, 2, 3), &gate).To(weir.Each(func(_ context.Context, v int) error {
		seen = append(seen, v)
		return nil
	}))
	ended := make(chan error, 1)
	go func() { ended <- flow.Run(context.Background()) }()
	fmt.Println("paused:", gate.Paused())
	gate.Resume()
	err := <-ended
	fmt.Println(seen, err)
	// Output:
	// paused: true
	// [1 2 3] <nil>
}

func ExampleTee_leave() {
	branches := weir.Tee(weir.Values(1, 2, 3, 4), weir.Branch{}, weir.Branch{})
	first, sum := 0, 0
	err := weir.Join(
		// This branch ends after one value; the other continues.
		weir.Take(branches[0], 1).To(weir.Each(func(_ context.Context, v int) error { first = v; return nil })),
		branches[1].To(weir.Each(func(_ context.Context, v int) error { sum += v; return nil })),
	).Run(context.Background())
	fmt.Println(first, sum, err)
	// Output: 1 10 <nil>
}

// The readers of this hub read nothing before the flow has ended. What each
// finds then is a matter of its policy.
func ExamplePolicy() {
	ctx := context.Background()
	var hub weir.Hub[int]
	for _, branch := range []weir.Branch{
		{Policy: weir.Block, Limit: weir.Items(5)},
		{Policy: weir.DropOldest, Limit: weir.Items(3)},
		{Policy: weir.DropNewest, Limit: weir.Items(3)},
		{Policy: weir.Disconnect, Limit: weir.Items(3), Lag: time.Millisecond},
	} {
		r, err := hub.Attach(branch)
		if err != nil {
			fmt.Println(err)
			return
		}
		defer func() {
			got := make([]int, 10)
			n, _ := r.RecvBatch(ctx, got)
			_, err := r.Recv(ctx)
			fmt.Println(branch.Policy, got[:n], "dropped", r.Stats().Dropped, err)
		}()
	}
	if err := weir.Values(1, 2, 3, 4, 5).To(hub.Sink()).Run(ctx); err != nil {
		fmt.Println(err)
	}
	// Unordered output:
	// block [1 2 3 4 5] dropped 0 EOF
	// drop oldest [3 4 5] dropped 2 EOF
	// drop newest [1 2 3] dropped 2 EOF
	// disconnect [1 2 3] dropped 0 branch fell too far behind
}
